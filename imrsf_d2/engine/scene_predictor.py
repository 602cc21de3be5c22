"""A config and its checkpoint to what maps scenes: for `imrsf predict`, and for Python."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model

from imrsf_d2.checkpoint.files import neighbors
from imrsf_d2.data.heads import finds_instances, number_of_classes
from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.configuration import check_device, is_pretraining
from imrsf_d2.inference.class_names import ClassNames
from imrsf_d2.inference.plan import Settings
from imrsf_d2.inference.scene_predictor import ScenePredictor
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError, MissingFileError
from imrsf_d2.utils.precision import autocast

__all__ = ["build_scene_predictor", "check_mappable", "check_weights", "class_names", "training_window"]


def build_scene_predictor(cfg: CfgNode, **settings: Any) -> ScenePredictor:
    """Build the model of a config, with the weights of `MODEL.WEIGHTS`, to map scenes; as Detectron2's `DefaultPredictor`.

    Modalities, names of classes, precision and device are those of the config; the window is its training crop.

    Args:
        cfg: finished by `load_config`.
        settings: `window`, `overlap`, `min_score`, `min_area`, `simplify`, `batch_size`, `num_workers`: see `ScenePredictor`.

    Raises:
        ValueError: if the config is of a pre-training run or of a panoptic model, asks for what this machine does not have, or its weights are
            missing or of another model.
    """
    check_mappable(cfg)
    check_weights(cfg)
    check_device(cfg)
    model = build_model(cfg)
    Checkpointer(model, require_all=True).load(cfg.MODEL.WEIGHTS)
    return ScenePredictor(
        model,
        modalities=ModalitySet.from_config(cfg),
        classes=class_names(cfg),
        precision=partial(autocast, cfg),
        **{"window": training_window(cfg)} | settings,
    )


def check_weights(cfg: CfgNode, config_file: str = "the config") -> None:
    """See that a config's model predicts something, and that there are weights for it.

    Args:
        config_file: for the message.

    Raises:
        InputError: if it is of a pre-training run, or names no weights.
        MissingFileError: if there is no such file.
    """
    if is_pretraining(cfg):
        raise InputError(
            f"{config_file} is of a pre-training run, whose model predicts nothing; expected a config of a task."
        )
    if not cfg.MODEL.WEIGHTS:
        raise InputError(
            "MODEL.WEIGHTS is empty, and random weights find nothing: append MODEL.WEIGHTS path/to/model_final.pth."
        )
    if not Path(cfg.MODEL.WEIGHTS).is_file():
        raise MissingFileError(
            f"no checkpoint {cfg.MODEL.WEIGHTS!r}. It is named by MODEL.WEIGHTS.{neighbors(cfg.MODEL.WEIGHTS)}"
        )


def check_mappable(cfg: CfgNode) -> None:
    """See that a config's model gives what maps are made of.

    Raises:
        InputError: if it is a panoptic one.
    """
    if cfg.MODEL.MASK_FORMER.TEST.PANOPTIC_ON:
        raise InputError(
            "MODEL.MASK_FORMER.TEST.PANOPTIC_ON is True, but scenes become label maps or objects, not panoptic segmentations: "
            "the segments of neighboring windows are not joined. For a label map of all classes append "
            "MODEL.MASK_FORMER.TEST.PANOPTIC_ON False MODEL.MASK_FORMER.TEST.SEMANTIC_ON True."
        )


def class_names(cfg: CfgNode) -> ClassNames:
    """Names and colors of a config's classes: DATASETS.CLASSES or those of its datasets, if there are as many, else numbers."""
    named = cfg.DATASETS.CLASSES
    if len(named) == number_of_classes(cfg):
        return ClassNames(tuple(label["NAME"] for label in named), tuple(tuple(label["COLOR"]) for label in named))
    datasets = map(MetadataCatalog.get, (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN))
    return ClassNames.of(datasets, number_of_classes(cfg), instances=finds_instances(cfg))


def training_window(cfg: CfgNode) -> int:
    """The side of what the model has seen at a time in training, px."""
    return max(map(int, cfg.INPUT.CROP.SIZE)) if cfg.INPUT.CROP.ENABLED else Settings.window
