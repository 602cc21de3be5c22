"""The backbone as a graph of fixed shapes, for `torch.export`, ONNX and compilers: its sensors and the size of the image are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.detail import Details
from imrsf_d2.modeling.fixed_gather import FixedGather, mean_of_present
from imrsf_d2.modeling.fixed_layout import FixedLayout
from imrsf_d2.modeling.tokens import patch_presence, split_image, spread
from imrsf_d2.modeling.vit import IncompleteMultimodalViT
from imrsf_d2.utils.errors import InputError

__all__ = ["FixedBackbone"]


class FixedBackbone(nn.Module):
    """What a backbone computes for images of one size, either with a given subset of its sensors, or with any.

    With a given subset, every patch counts as present, and sensors that are not in it cost nothing. With any subset, every sensor
    has its place, and validity says what is there, patch by patch; it costs the time of complete input.

    Args:
        vit: the backbone; its parameters are shared, without those of sensors that are not in the subset.
        size: (H, W) of the images, px.
        subset: names of the sensors; None for one graph for any.

    Attributes:
        modalities: the sensors of the inputs, in order.
        takes_validity: whether there is an input `validity`.

    Raises:
        ValueError: if a sensor is unknown, or the patch size does not divide the size.
    """

    mean: Tensor
    std: Tensor
    fusion: Tensor
    positions: Tensor

    def __init__(self, vit: IncompleteMultimodalViT, size: tuple[int, int], subset: Iterable[str] | None = None):
        super().__init__()
        if any(side % vit.patch_size or side < vit.patch_size for side in size):
            raise InputError(f"the size is {size[0]} x {size[1]} px, expected multiples of the patch size {vit.patch_size}.")
        self.takes_validity = subset is None
        names = vit.modalities.names if subset is None else vit.modalities.check_subset(subset, "the subset")
        self.modalities = ModalitySet(vit.modalities[name] for name in names)
        #: Sensors that are fed as mean-valued images where they are absent (absent="zeros"), and so are always computed.
        self.computed = names if vit.absent == "skip" else vit.modalities.names
        self.every = vit.modalities
        self.size = size
        self.grid = (size[0] // vit.patch_size, size[1] // vit.patch_size)
        self.patch_size, self.min_valid, self.out_layers = vit.patch_size, vit.min_valid, vit.out_layers
        self.always_present = vit.absent != "skip"
        bands = self.modalities.num_bands
        self.register_buffer("mean", torch.tensor(self.modalities.pixel_mean[:bands])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(self.modalities.pixel_std[:bands])[:, None, None], persistent=False)
        with torch.no_grad():
            self.register_buffer("fusion", vit._fusion_tokens(self.grid).clone(), persistent=False)
            self.register_buffer("positions", vit._positions(self.grid).clone(), persistent=False)
        self.patch_embed = nn.ModuleDict({name: vit.patch_embed[name] for name in self.computed})
        self.gather, self.reads_fusion = FixedGather(vit.gather, vit.bilstm), vit.readout == "fusion"
        self.blocks, self.norm, self.pyramid, self.detail = vit.blocks, vit.norm, vit.pyramid, vit.detail

    def forward(self, sensors: Mapping[str, Tensor], validity: Tensor | None = None) -> dict[str, Tensor]:
        """Feature maps.

        Args:
            sensors: name -> [B, C_m, H, W], in the units after TRANSFORM; every sensor of `modalities`. A pixel in which a band is not
                finite has no data. NODATA, a number of the files before TRANSFORM, is not looked for, other than where
                `assemble_sensors` makes the batch: compute validity from it first, or put NaN there.
            validity: [B, M, H, W], 1 = this pixel holds data, 0 = it does not; only if the graph is for any subset.

        Returns:
            name -> [B, D, ceil(H / stride), ceil(W / stride)].
        """
        image = torch.cat([sensors[name] for name in self.modalities.names], dim=1)
        image = (image - self.mean) / self.std
        if validity is not None:
            image = torch.cat([image, validity], dim=1)
        bands, valid = split_image(image, self.modalities)
        present = None
        if self.takes_validity and not self.always_present:
            present = patch_presence(valid, self.patch_size, self.min_valid)

        streams = torch.stack([self._embed(name, bands, valid) for name in self.computed], dim=1) + self.positions
        layout = FixedLayout(len(streams), len(self.computed), streams.shape[2], present, self.reads_fusion)
        tokens = streams.flatten(0, 2)
        if self.reads_fusion:
            fusion = self.gather(streams, self.fusion, self.positions, present)
            tokens = torch.cat([tokens, fusion.flatten(0, 1)])
        grids = {}
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, layout, fusion_only=self.reads_fusion and i == len(self.blocks) - 1)
            if i in self.out_layers:
                grids[i] = self.norm(self._read_out(tokens, layout)).transpose(1, 2).unflatten(2, self.grid)
        maps = self.pyramid([grids[i] for i in self.out_layers])
        return maps if self.detail is None else self.detail(maps, self._details(bands, valid, present))

    def _read_out(self, tokens: Tensor, layout: FixedLayout) -> Tensor:
        """[B, N, D] of what a block returned: its last rows, or the mean of the modality tokens."""
        if self.reads_fusion:
            return tokens[-layout.num_images * layout.num_patches :].unflatten(0, (layout.num_images, -1))
        means = mean_of_present(tokens.view(layout.num_images, -1, layout.num_patches, tokens.shape[-1]), layout.present)
        return means if layout.present is None else torch.where(layout.present.any(dim=1)[..., None], means, self.fusion)

    def _details(self, bands: Tensor, valid: Tensor, present: Tensor | None) -> dict[str, Details]:
        """See `IncompleteMultimodalViT`."""
        assert self.detail is not None
        if present is not None:
            valid = valid & spread(present, self.grid, self.patch_size)
        details = {}
        for name in self.computed:
            own, usable = self._of_sensor(name, bands, valid)
            details[name] = self.detail.encode_sensor(name, own, usable | self.always_present)
        return details

    def _embed(self, name: str, bands: Tensor, valid: Tensor) -> Tensor:
        """[B, N, D] tokens of one sensor."""
        return self.patch_embed[name](*self._of_sensor(name, bands, valid))

    def _of_sensor(self, name: str, bands: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Bands [B, C_m, H, W] and validity [B, H, W] of one sensor; nothing but zeros if it is not in the subset."""
        if name not in self.modalities.names:
            shape = len(bands), self.every[name].channels, *self.size
            return bands.new_zeros(shape), valid.new_zeros(len(bands), *self.size)
        return bands[:, self.modalities.bands(name)], valid[:, self.modalities.index_of(name)]
