"""What a run says of its model, classes and scores: each in a line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

from detectron2.data import MetadataCatalog
from torch import nn

__all__ = ["describe_classes", "describe_model", "describe_scores"]

_MOST_CLASSES = 10


def describe_model(model: nn.Module) -> str:
    """E.g. "MaskFormer, 106.5 M parameters (backbone 87.2 M, sem_seg_head 19.3 M), 87.2 M of them frozen"."""
    parts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parts[name.partition(".")[0]] += parameter.numel()
    frozen = sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    text = f"{type(model).__name__}, {_millions(parts.total())} parameters"
    text += f" ({', '.join(f'{name} {_millions(count)}' for name, count in parts.items())})"
    return f"{text}, {_millions(frozen)} of them frozen" if frozen else text


def _millions(count: int) -> str:
    return f"{count / 1e6:.3g} M" if count < 1e8 else f"{count / 1e6:.0f} M"


def describe_classes(dataset_name: str) -> str:
    """The names of a registered dataset's classes, or the first of many: "background, building (2)"."""
    metadata = MetadataCatalog.get(dataset_name)
    names = getattr(metadata, "thing_classes", None) or getattr(metadata, "stuff_classes", None) or []
    rest = f" and {len(names) - _MOST_CLASSES} more" if len(names) > _MOST_CLASSES else ""
    return f"{', '.join(names[:_MOST_CLASSES])}{rest} ({len(names)})"


def describe_scores(results: Mapping, dataset: str = "") -> Iterator[str]:
    """A line for each task that a model was scored on, without the scores of single classes.

    Args:
        results: {task: {metric: value}}, or for several datasets {dataset: {task: ...}}.
        dataset: its name, for the start of a line.
    """
    for key, value in results.items():
        if isinstance(value, Mapping) and any(isinstance(score, Mapping) for score in value.values()):
            yield from describe_scores(value, f"{key}, ")
        elif isinstance(value, Mapping):
            scores = [
                f"{metric} {score:.2f}" for metric, score in value.items() if "-" not in metric and not math.isnan(score)
            ]
            yield f"{dataset}{key} (percent): {', '.join(scores)}"
