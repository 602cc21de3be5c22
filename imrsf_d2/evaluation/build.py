"""From a dataset's `evaluator_type` to its evaluator."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.evaluation.semantic_evaluator import SemanticEvaluator
from imrsf_d2.utils.errors import InputError

__all__ = ["build_evaluator"]

#: evaluator_type -> the switch of MODEL.MASK_FORMER.TEST for what it scores, and what that is
OUTPUTS = {"imrsf_instance": ("INSTANCE_ON", "instances"), "imrsf_semantic": ("SEMANTIC_ON", "label maps")}


def build_evaluator(cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> DatasetEvaluator:
    """The evaluator for a registered dataset.

    Args:
        output_dir: where it may write what it found; None writes none.

    Raises:
        ValueError: if the dataset's metadata names no evaluator of ours, the model does not give what it scores, or the
            labels cannot be scored.
    """
    kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if kind in OUTPUTS and cfg.MODEL.META_ARCHITECTURE == "MaskFormer":  # others have no such switches
        switch, what = OUTPUTS[kind]
        if not cfg.MODEL.MASK_FORMER.TEST[switch]:
            raise InputError(
                f"MODEL.MASK_FORMER.TEST.{switch} is False, expected True: the dataset {dataset_name!r} is "
                f"scored by {what} (its evaluator_type is {kind!r}), which the model would not give."
            )
    if kind == "imrsf_instance":
        return InstanceEvaluator(dataset_name, output_dir=output_dir, max_detections=cfg.TEST.DETECTIONS_PER_IMAGE)
    if kind == "imrsf_semantic":
        return SemanticEvaluator(dataset_name, output_dir=output_dir, allow_single_class=cfg.TEST.ALLOW_SINGLE_CLASS)
    raise InputError(
        f"dataset {dataset_name!r} has evaluator_type {kind!r}, expected 'imrsf_instance' or "
        "'imrsf_semantic'; set it in the dataset's metadata."
    )
