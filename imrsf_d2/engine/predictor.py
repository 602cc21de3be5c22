"""A config and its checkpoint to predictions of arrays, one sample at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.configuration import check_device
from imrsf_d2.engine.scene_predictor import check_weights
from imrsf_d2.inference.sample_arrays import image_of_arrays
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.precision import autocast

__all__ = ["Predictor"]


class Predictor:
    """Detectron2's `DefaultPredictor` for samples of several sensors: arrays in, the model's outputs out.

    Args:
        cfg: after `finalize_config`; the weights are those of MODEL.WEIGHTS.

    Raises:
        ValueError: if the config is of a pre-training run, asks for what this machine does not have, or its weights are
            missing or of another model; if `finalize_config` was forgotten.
    """

    def __init__(self, cfg: CfgNode):
        check_weights(cfg)
        check_device(cfg)
        self.cfg = cfg.clone()  # it may be changed by whoever called
        self.modalities = ModalitySet.from_config(cfg)
        self.model = build_model(cfg).eval()
        Checkpointer(self.model, require_all=True).load(cfg.MODEL.WEIGHTS)

    @torch.no_grad()
    def __call__(self, sensors: Mapping[str, Any]) -> dict[str, Any]:
        """Predict one sample.

        Args:
            sensors: name of a modality -> array [C, H, W] or [H, W] of its bands, or None; those left out are missing too. Arrays
                are read by the rules of files (see `imrsf_d2.geo.rasters`): stored numbers of any type, before TRANSFORM;
                NaN, NODATA and the masked pixels of a masked array hold no data.

        Returns:
            The model's outputs for it, such as {"instances": Instances}, as those of `DefaultPredictor`.

        Raises:
            ValueError: if a name is no modality's, no sensor is there, an array does not fit its modality, or sizes differ.
        """
        image = torch.from_numpy(image_of_arrays(self.modalities, sensors))
        with autocast(self.cfg):
            return self.model([{"image": image, "height": image.shape[1], "width": image.shape[2]}])[0]
