"""Parts of a model by what they can do: a backbone may be the model's own, or lie inside another one, such as an FPN."""

from __future__ import annotations

from torch import nn

__all__ = ["find_part"]


def find_part(model: nn.Module, *attributes: str) -> nn.Module | None:
    """The first module of a model, itself included, that has all of some attributes; None if there is none."""
    return next((part for part in model.modules() if all(hasattr(part, name) for name in attributes)), None)
