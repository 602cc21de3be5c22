"""A layout that is the same for every image: each modality has a stream, and what an image lacks is masked.

`TokenLayout` reads off the data which tokens exist, and so a graph of it holds for one batch. Here shapes and indices
depend on the number of modalities and the size of the image alone, as compilers and exporters ask; it costs the time of complete
input, whatever is missing.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from imrsf_d2.modeling.runs import FusionPart, Runs, StreamPart

__all__ = ["FixedLayout"]


class FixedLayout:
    """Where the tokens of B images lie: P = B * M streams, image after image in config order, then B rows of fusion tokens, if any.

    Args:
        num_images: B.
        num_modalities: M.
        num_patches: N.
        present: [B, M, N] bool, True = this patch of this modality is usable; None if all are.
        fusion: whether there are fusion tokens.
    """

    def __init__(
        self, num_images: int, num_modalities: int, num_patches: int, present: Tensor | None = None, fusion: bool = True
    ):
        self.num_images = num_images
        self.num_patches = num_patches
        self.fusion_length = num_patches if fusion else 0
        self.num_pairs = num_images * num_modalities
        self.num_tokens = self.num_pairs * num_patches
        self.present = present

    def stream_parts(self) -> Iterator[StreamPart]:
        """Yield all streams at once."""
        usable = None
        if self.present is not None:
            # Nobody attends to a stream without any patch, but without any key it would be NaN, which no mask holds back.
            usable = (self.present | ~self.present.any(dim=-1, keepdim=True)).flatten(0, 1)
        rows = slice(0, self.num_tokens)
        yield StreamPart(rows, Runs(self.num_pairs, self.num_patches, rows, usable))

    def fusion_parts(self) -> Iterator[FusionPart]:
        """Yield all fusion queries at once."""
        usable = None
        if self.present is not None:
            usable = self.present.flatten(1)
            own = usable.new_ones(self.num_images, self.fusion_length)
            # Without fusion tokens, an image of nothing has no key either.
            usable = torch.cat([usable if self.fusion_length else usable | ~usable.any(dim=1, keepdim=True), own], dim=1)
        streams = Runs(self.num_images, self.num_tokens // self.num_images, slice(0, self.num_tokens))
        yield FusionPart(slice(0, self.num_images), streams, usable)

    def in_token_order(self, parts: list[Tensor]) -> list[Tensor]:
        """Nothing to do: there is one part."""
        return parts

    def images_of_rows(self, fusion_only: bool) -> Tensor:
        """The image of each token row that a block returns: N of each stream, unless `fusion_only`, and of each image."""
        images = torch.arange(self.num_images)
        streams = images.repeat_interleave(self.num_tokens // self.num_images)
        fusion = images.repeat_interleave(self.fusion_length)
        return fusion if fusion_only else torch.cat([streams, fusion])
