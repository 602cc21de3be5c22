"""A quick look of a scene's map, made of what passes when the map is written."""

from __future__ import annotations

from collections.abc import Sequence

from imrsf_d2.inference.coarse import coarse_scene, read_labels, read_whole
from imrsf_d2.inference.coarse_outlines import CoarseOutlines
from imrsf_d2.inference.scene import Scene
from imrsf_d2.visualization.palettes import Palette
from imrsf_d2.visualization.scene_maps import draw_label_scene, draw_object_scene, panels_across

__all__ = ["ScenePicture"]

#: Longer side of the picture, px.
LONGEST_PX = 2000


class ScenePicture:
    """Draws the map of a scene in a size that fits a screen; memory does not follow the scene's size.

    Args:
        scene: what was mapped.
        name: of the map, for the heading.
        classes: names of the model's classes.
        colors: (red, green, blue) of each, 0 to 255; empty for a map of objects.
    """

    def __init__(self, scene: Scene, name: str, classes: Sequence[str], colors: Sequence[Sequence[int]] = ()):
        self._name, self._classes, self._colors = name, tuple(classes), tuple(colors)
        # The picture of a label map has what the sensors saw beside it.
        self._scene = coarse_scene(scene, LONGEST_PX // panels_across(scene.grid.shape) if colors else LONGEST_PX)
        self._sensors = _sensors(scene)
        self.outlines = CoarseOutlines(self._scene.grid.transform, classes)

    def save(self, path: str, output: str) -> None:
        """Write the PNG.

        Args:
            path: of the PNG.
            output: the map, which a label map is read from.
        """
        image, modalities = read_whole(self._scene), self._scene.modalities
        if not self._colors:
            objects = self.outlines.objects
            number = sum(map(len, objects.values()))
            title = f"{self._name}: {number:,} object{'s' * (number != 1)}; {self._sensors}"
            return draw_object_scene(path, image, modalities, objects, title)
        labels = read_labels(output, self._scene.grid.shape)
        palette = Palette(self._classes, tuple((red / 255, green / 255, blue / 255) for red, green, blue in self._colors))
        draw_label_scene(path, image, modalities, labels, palette, f"{self._name}: {self._sensors}")


def _sensors(scene: Scene) -> str:
    """Which sensors a map is made of, how much of it each covers, and which were missing."""
    parts = []
    for name in scene.sensors:
        share = scene.coverage(name)
        parts.append(name if share > 0.995 else f"{name} ({share:.0%} of the map)")
    missing = [name for name in scene.modalities.names if not scene.sensors.get(name)]
    return f"from {', '.join(parts)}" + (f"; {', '.join(missing)} missing" if missing else "")
