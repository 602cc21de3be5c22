"""An axis whose every pixel can be looked at."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ZOOM = 16


def render(draw, height, width):
    """What `draw(axis)` draws of a picture [height, width]: [height, width, ZOOM * ZOOM, 3] screen pixels in 0..255."""
    figure = Figure(figsize=(width * ZOOM / 100, height * ZOOM / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axis = figure.add_axes([0, 0, 1, 1], xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    draw(axis)
    canvas.draw()
    screen = np.asarray(canvas.buffer_rgba())[..., :3].reshape(height, ZOOM, width, ZOOM, 3)
    return screen.swapaxes(1, 2).reshape(height, width, ZOOM * ZOOM, 3)


def color(pixel):
    """The one color of a picture's pixel, as (red, green, blue) in 0..255."""
    (only,) = np.unique(pixel, axis=0)
    return tuple(only.tolist())
