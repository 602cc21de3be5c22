"""Each sensor's own convolutions at a quarter of its resolution, for what a patch is too coarse to say: where an edge is.

A sensor's details depend on no other sensor, and a map gets the mean of those that are present at each place: what holds of the
streams of eq. 4 holds of them. Not in the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling.pyramid import ChannelNorm, feature_stride
from imrsf_d2.modeling.unused import zero_of

__all__ = ["DETAIL_STRIDE", "DetailStem", "Details"]

#: Stride of the details.
DETAIL_STRIDE = 4
#: The coarsest maps that get them.
COARSEST = 8


class Details(NamedTuple):
    """The details of one sensor.

    Args:
        values: [B, D_s, ceil(H / 4), ceil(W / 4)], each times its weight; 0 where the sensor is absent.
        weights: [B, 1, ceil(H / 4), ceil(W / 4)], the share of usable pixels.
    """

    values: Tensor
    weights: Tensor

    def repeated(self, times: int, kept: Tensor) -> Details:
        """Those of the first of several views of the same images, for all of them.

        Args:
            kept: [B], 1 in the rows that have the sensor, 0 in the others.
        """
        images = len(kept) // times
        return Details(*(part[:images].repeat(times, 1, 1, 1) * kept[:, None, None, None] for part in self))


class DetailStem(nn.Module):
    """Adds what the present sensors show in detail to the fine feature maps.

    Args:
        modalities: what the image tensor holds, in order.
        width: W, channels of a sensor's convolutions.
        dim: D, channels of the maps.
        features: names of all maps; those of stride 4 and 8 get details.
    """

    def __init__(self, modalities: Iterable[Modality], width: int, dim: int, features: Sequence[str]):
        super().__init__()
        self.modalities = ModalitySet(modalities)
        self.sensors = nn.ModuleDict({modality.name: _SensorStem(modality, width) for modality in self.modalities})
        self.maps = nn.ModuleDict()
        for name in features:
            stride = feature_stride(name)
            if DETAIL_STRIDE <= stride <= COARSEST:
                step = stride // DETAIL_STRIDE
                self.maps[name] = nn.Sequential(
                    ChannelNorm(width, eps=1e-6),
                    nn.GELU(),
                    nn.Conv2d(width, dim, kernel_size=2 * step - 1, stride=step, padding=step - 1),
                )

    def encode(self, bands: Tensor, usable: Tensor, images: Mapping[int, slice | Tensor]) -> dict[str, Details]:
        """The details of each sensor.

        Args:
            bands: [B, C, H, W] normalized.
            usable: [B, M, H, W] bool, True = the pixel belongs to a patch that the encoder uses, and holds data.
            images: modality -> those images of the batch that have it; the others are not computed.
        """
        details = {}
        for m, at in images.items():
            name = self.modalities.names[m]
            own = self.encode_sensor(name, bands[at, self.modalities.bands(name)], usable[at, m])
            if not isinstance(at, slice):
                own = Details(*(part.new_zeros(len(bands), *part.shape[1:]).index_copy(0, at, part) for part in own))
            details[name] = own
        return details

    def encode_sensor(self, name: str, bands: Tensor, usable: Tensor) -> Details:
        """Likewise of one sensor: [B, C_m, H, W] and [B, H, W] bool; [.., ceil(H / 4), ceil(W / 4)]."""
        # Of patches of 1 or 2 px, an image need not have whole quarters; its maps measure ceil(size / stride).
        height, width = usable.shape[-2:]
        margin = (0, -width % DETAIL_STRIDE, 0, -height % DETAIL_STRIDE)
        if any(margin):
            bands, usable = F.pad(bands, margin), F.pad(usable, margin)
        own = usable[:, None]
        values = self.sensors[name](bands, own)
        weights = F.avg_pool2d(own.to(values.dtype), DETAIL_STRIDE)
        return Details(values * weights, weights)

    def forward(self, maps: Mapping[str, Tensor], details: Mapping[str, Details]) -> dict[str, Tensor]:
        """The maps with the mean of the details of some sensors.

        Args:
            maps: name -> [B, D, h, w].
            details: of the sensors to be averaged.
        """
        if not details:
            return {name: grid + self._touch(details, grid) for name, grid in maps.items()}
        weights = torch.stack([own.weights for own in details.values()]).sum(dim=0)
        total = torch.stack([own.values for own in details.values()]).sum(dim=0)
        mean = total / weights.clamp(min=torch.finfo(weights.dtype).eps) + self._touch(details, total)
        return {
            name: grid + self.maps[name](mean) * self._any(weights, name).to(grid.dtype) if name in self.maps else grid
            for name, grid in maps.items()
        }

    def _touch(self, details: Mapping[str, Details], like: Tensor) -> Tensor:
        """A zero that depends on every parameter that is not used; see `zero_of`."""
        unused = [module for name, module in self.sensors.items() if name not in details]
        if not details:
            unused.append(self.maps)
        return zero_of((parameter for module in unused for parameter in module.parameters()), like)

    @staticmethod
    def _any(weights: Tensor, name: str) -> Tensor:
        """1 where anything is there, [B, 1, h, w] of a map: where nothing is, neither are there biases."""
        step = feature_stride(name) // DETAIL_STRIDE
        some = (weights > 0).to(weights.dtype)
        return some if step == 1 else F.max_pool2d(some, step, ceil_mode=True)


class _SensorStem(nn.Module):
    """Two strided convolutions and a plain one on one sensor.

    What is not usable is 0 at every resolution, as what lies beyond the border is: results do not depend on how far an image is
    padded.
    """

    def __init__(self, modality: Modality, width: int):
        super().__init__()
        self.class_embed = nn.Embedding(modality.classes, width) if modality.categorical else None
        channels = width if modality.categorical else modality.channels
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, width, 3, stride=2, padding=1), ChannelNorm(width, eps=1e-6), nn.GELU())
            for before in (channels + 1, width)
        )
        self.last = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, bands: Tensor, usable: Tensor) -> Tensor:
        """[S, W, H / 4, W / 4] of [S, C, H, W] and [S, 1, H, W] bool."""
        if self.class_embed is not None:
            bands = self.class_embed(bands[:, 0].long()).permute(0, 3, 1, 2)
        there = usable.to(bands.dtype)
        values = torch.cat([bands * there, there], dim=1)
        for stage in self.stages:
            there = F.max_pool2d(there, 2)
            values = stage(values) * there
        return self.last(values)
