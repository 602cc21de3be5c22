"""Predictions of one model from many subsets of an image's modalities; what the subsets share is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from imrsf_d2.utils.parts import find_part

__all__ = ["SubsetModel", "shares_streams"]


def shares_streams(model: nn.Module) -> bool:
    """Whether the subsets of an image share computations that `SubsetModel` does only once.

    This is so for our backbone, wherever it lies in the model (under an FPN, say): the tokens of a modality attend only to that
    modality. It is not so with full attention, with zeros in place of absent modalities, with another backbone, or with several.
    """
    backbones = [part for part in model.modules() if hasattr(part, "forward_subsets")]
    return len(backbones) == 1 and bool(getattr(backbones[0], "shares_streams", False))


class SubsetModel(nn.Module):
    """Predicts from each of several subsets of the modalities of complete inputs.

    Each modality is encoded once, the fusion tokens once per subset (`IncompleteMultimodalEncoder.encode_subsets`). Then
    the unchanged forward of the model runs once per subset; meanwhile the backbone's own forward is replaced by one that
    returns what was encoded.

    Args:
        model: one that `shares_streams`, whose forward calls our backbone once.
        subsets: names of modalities.
    """

    def __init__(self, model: nn.Module, subsets: Iterable[Sequence[str]]):
        super().__init__()
        self.model = model
        self.subsets = [tuple(subset) for subset in subsets]
        self.training = model.training  # what Detectron2's evaluation gives the model again

    def forward(self, inputs: list[dict]) -> Iterator[list[dict]]:
        """Predict.

        Args:
            inputs: mapped samples with all modalities of all subsets.

        Yields:
            The model's output for each subset, in order, computed on demand: only the features of all subsets are in memory
            together, not their full-size masks.
        """
        backbone: Any = find_part(self.model, "forward_subsets")
        encoded = _EncodedOnce(backbone, self.subsets)
        for left in reversed(range(len(self.subsets))):
            # The module stays, so that whoever asks it for its shapes or its padding still gets an answer.
            backbone.forward = encoded
            try:
                output = self.model(inputs)
            finally:
                del backbone.forward
            assert encoded.num_left == left, f"{type(self.model).__name__} must call its backbone once per forward."
            yield output


class _EncodedOnce:
    """A backbone's forward that computes the maps of all subsets in its first call, and returns those of one subset per call."""

    def __init__(self, backbone: Any, subsets: list[tuple[str, ...]]):
        self._backbone = backbone
        self._subsets = subsets
        self._maps: list[dict[str, Tensor]] | None = None

    @property
    def num_left(self) -> int:
        """The number of subsets whose maps have not been returned yet."""
        return len(self._maps or ())

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        if self._maps is None:
            self._maps = self._backbone.forward_subsets(image, self._subsets)[::-1]
        return self._maps.pop()
