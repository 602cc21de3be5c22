"""Tiny models to export."""

from detectron2.modeling import build_model

from imrsf_d2.engine.configuration import load_config
from tests.tiny import DEMO_CONFIG, DEMO_CONFIGS, OVERRIDES, SIZE

__all__ = ["DEMO_CONFIG", "SIZE", "tiny_config", "tiny_model"]


def tiny_config(*opts, task="instance"):
    return load_config(DEMO_CONFIGS[task], [*OVERRIDES, "MODEL.DEVICE", "cpu", *opts], need_data=False)


def tiny_model(*opts, task="instance"):
    return build_model(tiny_config(*opts, task=task)).eval()
