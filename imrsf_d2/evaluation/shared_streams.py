"""One model, many subsets of an image's modalities: what does not depend on the subset is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

__all__ = ["SubsetModel", "shares_streams"]


def shares_streams(model: nn.Module) -> bool:
    """Whether the subsets of an image have something in common that `SubsetModel` computes only once.

    They have with our backbone, whose modality streams see themselves alone. With full attention, or with zeros in the
    place of absent modalities, or with another backbone, they have not.
    """
    return getattr(getattr(model, "backbone", None), "shares_streams", False)


class SubsetModel(nn.Module):
    """Gives, for complete inputs, what a model predicts from each of several subsets of their modalities.

    Each modality's stream passes through the encoder once, the fusion tokens once per subset
    (`IncompleteMultimodalEncoder.encode_subsets`). The model's own forward then runs once per subset, unchanged: only
    its `backbone` is replaced meanwhile by one that hands out what was encoded.

    Args:
        model: of `shares_streams`, whose forward asks its `backbone` once.
        subsets: names of modalities.
    """

    def __init__(self, model: nn.Module, subsets: Iterable[Sequence[str]]):
        super().__init__()
        self.model = model
        self.subsets = [tuple(subset) for subset in subsets]

    def forward(self, inputs: list[dict]) -> Iterator[list[dict]]:
        """Predict.

        Args:
            inputs: mapped samples with all modalities of all subsets.

        Yields:
            The model's output with each subset, in order, computed when it is asked for: only the features of all
            subsets are in memory together, not their full-size masks.
        """
        backbone = self.model.backbone
        encoded = _EncodedOnce(backbone, self.subsets)
        for left in reversed(range(len(self.subsets))):
            self.model.backbone = encoded
            try:
                output = self.model(inputs)
            finally:
                self.model.backbone = backbone
            assert encoded.num_left == left, f"{type(self.model).__name__} must ask its backbone once per call."
            yield output


class _EncodedOnce(nn.Module):
    """A backbone that computes the maps of all subsets when first asked, and gives those of one subset a time."""

    def __init__(self, backbone: nn.Module, subsets: list[tuple[str, ...]]):
        super().__init__()
        self._backbone = backbone
        self._subsets = subsets
        self._maps: list[dict[str, Tensor]] | None = None

    @property
    def num_left(self) -> int:
        return len(self._maps or ())

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if self._maps is None:
            self._maps = self._backbone.forward_subsets(image, self._subsets)[::-1]
        return self._maps.pop()
