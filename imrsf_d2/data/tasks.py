"""What a task is, in one place: how datasets, mappers, models and scores call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["INSTANCE", "PANOPTIC", "PRETRAIN", "SEMANTIC", "TASKS", "Task"]

#: The task without labels, which nothing is scored on.
PRETRAIN = "pretrain"


@dataclass(frozen=True)
class Task:
    """A task with labels.

    Args:
        name: in a `dataset.yaml`, in options, and of the packaged config for any dataset.
        kind: `evaluator_type` of a dataset's metadata, and INPUT.DATASET_MAPPER_NAME.
        classes: key of the metadata with the names of the model's classes.
        switch: in MODEL.MASK_FORMER.TEST, turns on the output that is scored.
        output: key of that output.
        words: what it is.
    """

    name: str
    kind: str
    classes: str
    switch: str
    output: str
    words: str


INSTANCE = Task("instance", "imrsf_instance", "thing_classes", "INSTANCE_ON", "instances", "instances")
SEMANTIC = Task("semantic", "imrsf_semantic", "stuff_classes", "SEMANTIC_ON", "sem_seg", "label maps")
# Of a panoptic dataset, thing_classes and stuff_classes both are all classes, as in Mask2Former.
PANOPTIC = Task("panoptic", "imrsf_panoptic", "stuff_classes", "PANOPTIC_ON", "panoptic_seg", "panoptic segmentations")
#: By `kind`.
TASKS: Mapping[str, Task] = {task.kind: task for task in (INSTANCE, SEMANTIC, PANOPTIC)}
