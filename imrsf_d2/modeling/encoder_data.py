"""What the encoder reads and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from imrsf_d2.modeling.layout import TokenLayout

__all__ = ["EncoderOutput", "Patches", "VisibleOutput"]


@dataclass
class Patches:
    """A batch of images and its validity, before anything is computed.

    Attributes:
        bands: [B, C, H, W] normalized, 0 where invalid.
        valid: [B, M, H, W] bool, True = holds data.
        present: [B, M, N] bool, True = this patch of this modality can be used.
        grid: (Hp, Wp).
    """

    bands: Tensor
    valid: Tensor
    present: Tensor
    grid: tuple[int, int]


@dataclass
class EncoderOutput:
    """What the encoder returns, in batch order. N = Hp * Wp patches, row by row.

    Attributes:
        fusion: [B, N, D] fusion tokens after the last block, before the final norm; with readout "modalities" the mean of the
            present modality tokens instead.
        streams: name -> [B, N, D] likewise, 0 where absent; empty unless asked for.
        present: [B, M, N] bool, True = this patch of this modality was used.
        importance: [B, M, N] the weight of each modality in what the fusion tokens gathered, 0 where absent, no gradient: beta
            of the Bi-LSTM attention ("mean_bilstm": in its correction of the mean); "mean": the same for all that are present;
            "none": all 0. None if it is not asked for.
        layers: [B, N, D] likewise `fusion` after each of the layers asked for.
        grid: (Hp, Wp).
        patches: what was read; with absent="zeros", absent sensors are images of zeros there.
        images: modality -> those images of `patches` that have a stream of it; modalities without any are left out.
    """

    fusion: Tensor
    streams: dict[str, Tensor]
    present: Tensor
    importance: Tensor | None
    layers: list[Tensor]
    grid: tuple[int, int]
    patches: Patches
    images: Mapping[int, slice | Tensor]


@dataclass
class VisibleOutput:
    """What the encoder returns of the visible patches of a batch, before the final norm.

    Attributes:
        fusion: [B, N, D] fusion tokens.
        tokens: [T, D] the visible modality tokens, as `layout` says; None unless asked for.
        layout: where they lie.
    """

    fusion: Tensor
    tokens: Tensor | None
    layout: TokenLayout
