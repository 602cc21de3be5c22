"""The encoder as a backbone: fusion tokens of four layers become the maps res2..res5. Needs PyTorch alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from imrsf_d2.modalities import Modality
from imrsf_d2.modeling.detail import Details, DetailStem
from imrsf_d2.modeling.encoder_data import EncoderOutput
from imrsf_d2.modeling.intermediates import IntermediateFeatures
from imrsf_d2.modeling.pyramid import FeaturePyramid, feature_stride
from imrsf_d2.modeling.sensor_batch import Validity
from imrsf_d2.modeling.tokens import spread
from imrsf_d2.utils.errors import InputError

__all__ = ["MAP_MODULES", "FeatureShape", "IncompleteMultimodalViT"]

#: The submodules that make maps: pre-training does not train them, and no other ViT has them.
MAP_MODULES = ("pyramid", "detail")


class FeatureShape(NamedTuple):
    """The channels and stride that `output_shape` promises for a map."""

    channels: int
    stride: int


class IncompleteMultimodalViT(IntermediateFeatures):
    """Backbone for samples in which any sensor may be missing.

    Args:
        modalities: what the image tensor holds, in order; see `ModalitySet`.
        out_layers: blocks whose fusion tokens feed the maps; the default for depth 12 is 2, 5, 8, 11, and other
            depths are divided alike. The last block must be among them.
        out_features: names of the maps, one per layer.
        freeze: train only the layers that make feature maps (partial fine-tuning): those after the fusion tokens, and those of
            `detail`; the encoder then computes in training what it computes in evaluation.
        detail: channels of each sensor's own convolutions, which add details to the maps of stride 4 and 8; 0 for none.
        encoder_arguments: see IncompleteMultimodalEncoder.

    Raises:
        ValueError: if an argument is out of range; the message names it.
    """

    def __init__(
        self,
        *,
        modalities: Iterable[Modality | Mapping],
        out_layers: Sequence[int] | None = None,
        out_features: Sequence[str] = ("res2", "res3", "res4", "res5"),
        freeze: bool = False,
        detail: int = 0,
        **encoder_arguments,
    ):
        super().__init__(modalities=modalities, **encoder_arguments)
        depth = len(self.blocks)
        if out_layers is None:
            out_layers = [math.ceil(depth * (i + 1) / len(out_features)) - 1 for i in range(len(out_features))]
        if len(out_layers) != len(out_features) or not all(0 <= layer < depth for layer in out_layers):
            raise InputError(
                f"out_layers is {list(out_layers)}, expected one block in 0..{depth - 1} for each of {list(out_features)}."
            )
        if depth - 1 not in out_layers:
            raise InputError(
                f"out_layers is {list(out_layers)}, expected the last block {depth - 1} among them: "
                "blocks after the last one chosen would be computed for nothing."
            )
        self.out_layers = tuple(out_layers)
        self.frozen = freeze
        self.requires_grad_(not freeze)
        self.pyramid = FeaturePyramid(self.embed_dim, self.patch_size, out_features)
        self.detail = DetailStem(self.modalities, detail, self.embed_dim, out_features) if detail else None
        self.train()  # the mode of a new module, but for what is frozen

    def train(self, mode: bool = True) -> IncompleteMultimodalViT:
        """Switch between training and evaluation; a frozen encoder stays in evaluation (no stochastic depth)."""
        super().train(mode)
        if self.frozen:
            for name, child in self.named_children():
                child.train(mode and name in MAP_MODULES)
        return self

    @property
    def size_divisibility(self) -> int:
        """Pad images to a multiple of this many pixels, so that every map divides evenly."""
        return max(self.patch_size, *(feature_stride(name) for name in self.pyramid.features))

    def output_shape(self) -> dict[str, FeatureShape]:
        """Channels and stride of each map."""
        return {name: FeatureShape(channels=self.embed_dim, stride=feature_stride(name)) for name in self.pyramid.features}

    def forward(self, image: Tensor | Mapping[str, Tensor | None], valid: Validity | None = None) -> dict[str, Tensor]:
        """Feature maps of a batch.

        Args:
            image: normalized [B, C + M, H, W] with validity channels, or [B, C, H, W] with NaN where missing; or the sensors by
                name, not normalized, e.g. {"s2": [B, 4, H, W], "dem": None} (see `assemble_sensors`). H and W divisible
                by the patch size.
            valid: of sensors by name, which of them hold data besides what their values say.

        Returns:
            name -> [B, D, ceil(H / stride), ceil(W / stride)].
        """
        image = self.assemble(image, valid)
        with self._encoder_gradients():
            output = self.encode(image, layers=self.out_layers, importance=not self.training)
        return self._maps(output, self._details(output))

    def forward_subsets(
        self, image: Tensor | Mapping[str, Tensor | None], subsets: Iterable[Sequence[str]]
    ) -> list[dict[str, Tensor]]:
        """Feature maps of a batch with each of several subsets of its modalities; see `encode_subsets`.

        Args:
            image: as in `forward`.
            subsets: names of modalities; an empty subset leaves none.

        Returns:
            One dictionary as from `forward` per subset, in order.
        """
        image, subsets = self.assemble(image), [tuple(subset) for subset in subsets]
        with self._encoder_gradients():
            outputs = self.encode_subsets(image, subsets, layers=self.out_layers)
        if not self.shares_streams:
            return [self._maps(output, self._details(output)) for output in outputs]
        details = self._details(outputs[0]) if outputs else {}
        return [
            self._maps(output, {name: own for name, own in details.items() if name in subset})
            for output, subset in zip(outputs, subsets)
        ]

    def _encoder_gradients(self) -> torch.set_grad_enabled:
        """Whether gradients are recorded; never for a frozen encoder, which then takes the path of inference."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen)

    def _details(self, output: EncoderOutput) -> dict[str, Details]:
        if self.detail is None:
            return {}
        patches = output.patches
        usable = torch.ones_like(patches.valid)
        if self.absent == "skip":
            usable = patches.valid & spread(patches.present, patches.grid, self.patch_size)
        details = self.detail.encode(patches.bands, usable, output.images)
        if self._images(len(output.present)) is None:
            return details
        # Only the first view was looked at: the others have its details, of the modalities that they keep.
        kept = dict(zip(self.modalities.names, output.present.any(dim=2).to(patches.bands.dtype).unbind(dim=1)))
        return {name: own.repeated(self.views, kept[name]) for name, own in details.items()}

    def _maps(self, output: EncoderOutput, details: Mapping[str, Details]) -> dict[str, Tensor]:
        grids = [self.norm(tokens).transpose(1, 2).unflatten(2, output.grid) for tokens in output.layers]
        maps = self.pyramid(grids)
        return maps if self.detail is None else self.detail(maps, details)
