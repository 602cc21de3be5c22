"""Figures of a model's inputs, the ground truth and the predictions, whichever sensors are missing."""

from imrsf_d2.visualization.figures import draw_inputs, draw_overview, draw_subset
from imrsf_d2.visualization.sheets import draw_test_sheets, draw_training_sheets
from imrsf_d2.visualization.tiles import ShownTile, choose_tiles, predict_tiles

__all__ = [
    "ShownTile",
    "choose_tiles",
    "draw_inputs",
    "draw_overview",
    "draw_subset",
    "draw_test_sheets",
    "draw_training_sheets",
    "predict_tiles",
]
