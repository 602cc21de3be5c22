"""The evaluator of a dataset, by the `evaluator_type` in its metadata."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from imrsf_d2.data.heads import is_rcnn
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC, TASKS, Task
from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.evaluation.panoptic_evaluator import PanopticEvaluator
from imrsf_d2.evaluation.semantic_evaluator import SemanticEvaluator
from imrsf_d2.utils.errors import InputError

__all__ = ["build_evaluator", "dataset_task"]


def dataset_task(dataset_name: str) -> Task:
    """What a registered dataset is scored on.

    Raises:
        InputError: if the `evaluator_type` of its metadata is not one of ours.
    """
    kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if kind not in TASKS:
        raise InputError(
            f"dataset {dataset_name!r} has evaluator_type {kind!r}, expected one of {sorted(TASKS)}; "
            "set it in the dataset's metadata."
        )
    return TASKS[kind]


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
    task = dataset_task(dataset_name)
    # Other architectures have no such switches.
    if cfg.MODEL.META_ARCHITECTURE == "MaskFormer" and not cfg.MODEL.MASK_FORMER.TEST[task.switch]:
        raise InputError(
            f"MODEL.MASK_FORMER.TEST.{task.switch} is False, expected True: the dataset {dataset_name!r} is "
            f"evaluated on {task.words} (its evaluator_type is {task.kind!r}), which the model would not output."
        )
    if is_rcnn(cfg):
        _check_rcnn(cfg, dataset_name, task)
    if task is INSTANCE:
        return InstanceEvaluator(dataset_name, output_dir=output_dir, max_detections=cfg.TEST.DETECTIONS_PER_IMAGE)
    if task is PANOPTIC:
        return PanopticEvaluator(dataset_name, output_dir=output_dir)
    return SemanticEvaluator(dataset_name, output_dir=output_dir, allow_single_class=cfg.TEST.ALLOW_SINGLE_CLASS)


def _check_rcnn(cfg: CfgNode, dataset_name: str, task: Task) -> None:
    """See that an R-CNN, which knows objects alone, gives what the dataset is scored on."""
    if task is not INSTANCE:
        raise InputError(
            f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE!r}, which finds objects, but the dataset {dataset_name!r} is "
            f"evaluated on {task.words}: expected a dataset of objects, or a config of MaskFormer."
        )
    if not cfg.MODEL.MASK_ON:
        raise InputError(
            f"MODEL.MASK_ON is False, expected True: the dataset {dataset_name!r} is evaluated on the masks of objects, which the "
            "model would not output."
        )
