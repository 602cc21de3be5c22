"""From a data set's `evaluator_type` to its evaluator."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator

__all__ = ["build_evaluator"]


def build_evaluator(cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> DatasetEvaluator:
    """The evaluator for a registered data set.

    Args:
        output_dir: where it may write its predictions; None writes none.

    Raises:
        ValueError: if the data set's metadata names no evaluator of ours.
    """
    kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if kind == "imrsf_instance":
        return InstanceEvaluator(dataset_name, output_dir=output_dir, max_detections=cfg.TEST.DETECTIONS_PER_IMAGE)
    raise ValueError(f"data set {dataset_name!r} has evaluator_type {kind!r}, expected 'imrsf_instance'; set it in the "
                     "data set's metadata.")
