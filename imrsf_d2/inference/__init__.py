"""From scenes of any extent to one map: windows through the model, what they found put together, files to open.

The names below are loaded when they are first used.
"""

import importlib

#: name -> the module it is defined in
_HOMES = {
    "ClassNames": "imrsf_d2.inference.class_names",
    "Feature": "imrsf_d2.inference.vector_files",
    "LabelMap": "imrsf_d2.inference.scene_predictor",
    "SceneArray": "imrsf_d2.inference.sensors",
    "SceneFeatures": "imrsf_d2.inference.scene_predictor",
    "ScenePredictor": "imrsf_d2.inference.scene_predictor",
    "predict_scene": "imrsf_d2.inference.scene_predictor",
    "write_features": "imrsf_d2.inference.vector_files",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
