"""From fusion tokens to the feature maps a detection head expects (strides 4 to 32)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from imrsf_d2.utils.errors import InputError

__all__ = ["FeaturePyramid", "feature_stride"]


def feature_stride(name: str) -> int:
    """Stride of a map by its Detectron2 name: `res2` is 4 pixels, `res5` is 32.

    Raises:
        ValueError: if the name is not `res` and a number.
    """
    if not (name.startswith("res") and name[3:].isdigit()):
        raise InputError(f"feature map {name!r}, expected res2, res3, ...: the number is log2 of the stride.")
    return 2 ** int(name[3:])


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [B, D, H, W]: a pixel's result does not depend on the padding around it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FeaturePyramid(nn.Module):
    """Bring each chosen layer's fusion tokens to its map's stride.

    Finer maps go through 2 x 2 transposed convolutions, coarser ones through max-pooling; the stride that equals the
    patch size is taken as it is. A map measures ceil(size / stride): pooling keeps an odd last row or column.

    Args:
        dim: D, the channels of every map.
        patch_size: stride of the token grid, in pixels.
        features: names of the maps, e.g. ("res2", "res3", "res4", "res5").
    """

    def __init__(self, dim: int, patch_size: int, features: Sequence[str]):
        super().__init__()
        for name in features:
            self.add_module(name, self._scale(dim, math.log2(patch_size / feature_stride(name))))
        self.features = tuple(features)

    @staticmethod
    def _scale(dim: int, doublings: float) -> nn.Module:
        if doublings <= 0:
            factor = round(2**-doublings)
            return nn.MaxPool2d(factor, ceil_mode=True) if factor > 1 else nn.Identity()
        layers: list[nn.Module] = []
        for step in range(round(doublings)):
            if step:
                layers += [ChannelNorm(dim, eps=1e-6), nn.GELU()]
            layers.append(nn.ConvTranspose2d(dim, dim, kernel_size=2, stride=2))
        return nn.Sequential(*layers)

    def forward(self, grids: Sequence[Tensor]) -> dict[str, Tensor]:
        """Scale.

        Args:
            grids: one [B, D, Hp, Wp] per map, in the order of `features`.

        Returns:
            name -> [B, D, ceil(H / stride), ceil(W / stride)].
        """
        # In one memory layout whatever B: by it PyTorch chooses the kernels of a detection head, whose results differ in the
        # last bits, and a sample's result must not depend on how many others there are.
        return {name: getattr(self, name)(grid).contiguous() for name, grid in zip(self.features, grids, strict=True)}
