"""The evaluator of a dataset, by the `evaluator_type` in its metadata."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.evaluation.semantic_evaluator import SemanticEvaluator
from imrsf_d2.utils.errors import InputError

__all__ = ["build_evaluator"]

#: evaluator_type -> the switch in MODEL.MASK_FORMER.TEST for the output that it scores, and that output's name
OUTPUTS = {"imrsf_instance": ("INSTANCE_ON", "instances"), "imrsf_semantic": ("SEMANTIC_ON", "label maps")}


def build_evaluator(cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> DatasetEvaluator:
    """The evaluator for a registered dataset.

    Args:
        cfg: of the model to evaluate.
        dataset_name: a registered name.
        output_dir: where the evaluator writes predictions; None writes none.

    Raises:
        ValueError: if the dataset's `evaluator_type` is not one of ours, the model does not produce the output that is
            scored, or the labels cannot be used.
    """
    kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if kind in OUTPUTS and cfg.MODEL.META_ARCHITECTURE == "MaskFormer":  # other architectures have no such switches
        switch, what = OUTPUTS[kind]
        if not cfg.MODEL.MASK_FORMER.TEST[switch]:
            raise InputError(
                f"MODEL.MASK_FORMER.TEST.{switch} is False, expected True: the dataset {dataset_name!r} is "
                f"evaluated on {what} (its evaluator_type is {kind!r}), which the model would not output."
            )
    if kind == "imrsf_instance":
        return InstanceEvaluator(dataset_name, output_dir=output_dir, max_detections=cfg.TEST.DETECTIONS_PER_IMAGE)
    if kind == "imrsf_semantic":
        return SemanticEvaluator(dataset_name, output_dir=output_dir, allow_single_class=cfg.TEST.ALLOW_SINGLE_CLASS)
    raise InputError(
        f"dataset {dataset_name!r} has evaluator_type {kind!r}, expected 'imrsf_instance' or "
        "'imrsf_semantic'; set it in the dataset's metadata."
    )
