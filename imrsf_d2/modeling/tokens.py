"""From the image tensor to tokens: validity, presence, patch embedding, positions (paper section III-A)."""

from __future__ import annotations

import functools
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = [
    "PatchEmbed",
    "keep_modalities",
    "patch_presence",
    "sincos_position_embedding",
    "split_image",
    "spread",
    "take_patches",
]

#: Width of the class embedding of a categorical modality, before its patch projection.
CLASS_EMBED_DIM = 64


def split_image(image: Tensor, modalities: ModalitySet) -> tuple[Tensor, Tensor]:
    """Separate bands from validity, for both input layouts, and overwrite invalid values.

    Args:
        image: normalized [B, C + M, H, W] with validity channels last, or [B, C, H, W] where NaN means missing.

    Returns:
        bands [B, C, H, W] with 0 (the mean of a normalized band) in every invalid pixel of a modality, and
        valid [B, M, H, W] bool, True = all bands of the modality hold a finite number there.

    Raises:
        ValueError: if the number of channels fits neither layout.
    """
    if image.ndim != 4 or image.shape[1] not in (modalities.num_bands, modalities.num_channels):
        raise InputError(
            f"image is {list(image.shape)}, expected [B, {modalities.num_channels}, H, W] (bands and "
            f"validity) or [B, {modalities.num_bands}, H, W] (bands, NaN = missing) for {modalities}."
        )
    has_validity = image.shape[1] == modalities.num_channels
    bands, valid = [], []
    for modality in modalities:
        values = image[:, modalities.bands(modality.name)]
        # A value that is not finite would poison every sum it enters, even behind a zero weight: never keep one.
        usable = values.isfinite().all(dim=1)
        if has_validity:
            usable = usable & (image[:, modalities.validity(modality.name)] > 0.5)
        bands.append(values.masked_fill(~usable[:, None], 0.0))
        valid.append(usable)
    return torch.cat(bands, dim=1), torch.stack(valid, dim=1)


def keep_modalities(image: Tensor, modalities: ModalitySet, names: Collection[str]) -> Tensor:
    """A copy of the image in which every other modality is missing, in both input layouts.

    Args:
        image: [B, C + M, H, W] with validity channels, or [B, C, H, W] where NaN means missing.
        names: modalities that stay.
    """
    image = image.clone()
    for name in set(modalities.names) - set(names):
        if image.shape[1] == modalities.num_channels:
            image[:, modalities.validity(name)] = 0.0
        else:
            image[:, modalities.bands(name)] = float("nan")
    return image


def patch_presence(valid: Tensor, patch_size: int, min_valid: float) -> Tensor:
    """Say which patches of which modality hold enough data to be used.

    Args:
        valid: [B, M, H, W] bool, True = valid pixel; H and W divisible by `patch_size`.
        min_valid: smallest share of valid pixels, in (0, 1].

    Returns:
        [B, M, N] bool, True = present; N = (H / patch_size) * (W / patch_size), row by row.
    """
    # float32 whatever the autocast: 0 / 1 counts of a 16 x 16 patch are exact there.
    share = F.avg_pool2d(valid.to(torch.float32), patch_size)
    return (share >= min_valid).flatten(2)


def spread(present: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """[..., H, W] of a value for each patch [..., N]: that of each pixel."""
    return present.unflatten(-1, grid).repeat_interleave(patch_size, dim=-2).repeat_interleave(patch_size, dim=-1)


def take_patches(values: Tensor, image: Tensor, patch: Tensor, patch_size: int) -> Tensor:
    """Cut some patches out of a batch; the others are not touched.

    Args:
        values: [B, C, H, W]; H and W divisible by `patch_size`.
        image, patch: [k] int64, which patch (counted row by row) of which image.

    Returns:
        [k, C, patch_size, patch_size].
    """
    grid = values.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size)).permute(0, 2, 4, 1, 3, 5)
    columns = grid.shape[2]
    return grid[image, patch // columns, patch % columns]


@functools.lru_cache(maxsize=32)
def sincos_position_embedding(height: int, width: int, dim: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Fixed 2-D sine-cosine embedding of the patch grid, laid out as MAE does (so that its weights transfer).

    The first half of the channels encodes the column, the second the row; each half holds all sines, then all
    cosines, of index / 10000^(i / (dim / 4)). Indices count patches, so that a patch keeps its embedding when the
    image grows or is padded.

    Args:
        height, width: grid size in patches.
        dim: D, a multiple of 4.

    Returns:
        [height * width, dim], row by row. Cached: do not write to it.
    """
    if dim % 4:
        raise InputError(f"position embedding: dim is {dim}, expected a multiple of 4.")
    # Outside inference mode, or the cached tensor could not be used in training later on.
    with torch.inference_mode(False), torch.no_grad():
        quarter = dim // 4
        frequency = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
        rows, columns = torch.meshgrid(
            torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
        )
        parts = []
        for index in (columns, rows):
            angle = index.reshape(-1, 1) * frequency
            parts += [angle.sin(), angle.cos()]
        return torch.cat(parts, dim=1).to(device=device, dtype=dtype)


class PatchEmbed(nn.Module):
    """Project the patches of one modality to tokens: a convolution with kernel = stride = patch size.

    A categorical modality first embeds its class index in 64 dimensions.

    Args:
        modality: what to embed.
        patch_size: side of a patch, in pixels.
        embed_dim: D.
    """

    def __init__(self, modality: Modality, patch_size: int, embed_dim: int):
        super().__init__()
        self.classes = modality.classes
        self.name = modality.name
        channels = modality.channels
        if modality.categorical:
            self.class_embed = nn.Embedding(modality.classes, CLASS_EMBED_DIM)
            nn.init.normal_(self.class_embed.weight, std=CLASS_EMBED_DIM**-0.5)
            channels = CLASS_EMBED_DIM
        self.proj = nn.Conv2d(channels, embed_dim, kernel_size=patch_size, stride=patch_size)
        # As a linear layer on flattened patches, like MAE.
        nn.init.xavier_uniform_(self.proj.weight.flatten(1))
        assert self.proj.bias is not None
        nn.init.zeros_(self.proj.bias)

    def forward(self, bands: Tensor, valid: Tensor) -> Tensor:
        """Embed.

        Args:
            bands: [S, C_m, H, W], 0 where invalid.
            valid: [S, H, W] bool.

        Returns:
            [S, N, D].

        Raises:
            ValueError: if a class index of a valid pixel is out of range.
        """
        if self.classes:
            index = bands[:, 0].long()
            # On a GPU the check would stall the host, and in a graph it has no place; there the embedding's own fires.
            checked = bands.device.type == "cpu" and not torch.compiler.is_compiling()
            if checked and (index.min() < 0 or index.max() >= self.classes):
                raise InputError(
                    f"modality {self.name!r} holds class {int(index.min())}..{int(index.max())}, expected "
                    f"0..{self.classes - 1} (CLASSES: {self.classes}); mark other values as NODATA."
                )
            embedded = self.class_embed(index) * valid[..., None]
            bands = embedded.permute(0, 3, 1, 2)
        return self.proj(bands).flatten(2).transpose(1, 2)
