"""Pictures of what a model is fed, what there is, and what it finds, whichever sensors are missing."""

from imrsf_d2.visualization.figures import draw_inputs, draw_overview, draw_subset
from imrsf_d2.visualization.sheets import draw_test_sheets, draw_training_sheets
from imrsf_d2.visualization.tiles import Tile, choose_tiles, predict_tiles

__all__ = [
    "Tile",
    "choose_tiles",
    "draw_inputs",
    "draw_overview",
    "draw_subset",
    "draw_test_sheets",
    "draw_training_sheets",
    "predict_tiles",
]
