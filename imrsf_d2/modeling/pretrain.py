"""Self-supervised pre-training as a Detectron2 meta-architecture (paper sections III-D and III-E)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import ImageList
from detectron2.utils.logger import log_first_n
from torch import Tensor, nn

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.arguments import encoder_arguments
from imrsf_d2.modeling.contrastive import Contrastive
from imrsf_d2.modeling.decoders import FusionReader, ModalityDecoder
from imrsf_d2.modeling.encoder import IncompleteMultimodalEncoder
from imrsf_d2.modeling.encoder_data import Patches
from imrsf_d2.modeling.processes import mean_of_all
from imrsf_d2.modeling.reconstruction import Reconstruction, patch_statistics, read_reconstructions, summed_loss
from imrsf_d2.modeling.token_masks import draw_visible
from imrsf_d2.modeling.tokens import take_patches
from imrsf_d2.modeling.transfer import to_device
from imrsf_d2.modeling.unused import zero_of
from imrsf_d2.utils.errors import InputError

__all__ = ["IncompleteMultimodalMAE"]

#: Warning for a batch that teaches nothing.
NOTHING_HIDDEN = (
    "No patch of this batch is hidden, so there is nothing to reconstruct: no sample has more than "
    "MODEL.IMRSF.PRETRAIN.VISIBLE_TOKENS = %d patches with data, over all its modalities. If this happens often, "
    "lower it."
)


@dataclass(frozen=True)
class Hidden:
    """The hidden patches of one modality, sample after sample, as int64 indices on the device.

    Attributes:
        samples: [S], the samples with hidden patches.
        image, patch: [k], the position of each hidden patch in the batch.
        row: [k], its position among the S * N patches of `samples`.
    """

    samples: Tensor
    image: Tensor
    patch: Tensor
    row: Tensor


@META_ARCH_REGISTRY.register()
class IncompleteMultimodalMAE(nn.Module):
    """Reconstruct hidden patches from fusion tokens that have gathered the visible ones, and contrast the sensors.

    Some patches of each sample are visible, divided among its modalities by a Dirichlet distribution; the encoder computes
    these and the fusion tokens, and nothing else. A decoder per modality reconstructs its hidden patches (eq. 5), and each
    modality's vector should agree with the fusion's (eq. 6). The losses are summed (eq. 7).

    Args:
        backbone: the encoder, under the name that its weights have in Mask2Former.
        decoders: name -> decoder, of each modality.
        reader: what the decoders read of the encoder; None for its fusion tokens.
        contrastive: eq. 6; None for reconstruction alone.
        contrastive_weight: its weight in eq. 7.
        reconstructions: name -> loss and weight, of each modality.
        visible_tokens: visible patches per sample, over all modalities.
        alpha: concentration of the Dirichlet distribution.
        normalize_patches: see `summed_loss`.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: IncompleteMultimodalEncoder,
        decoders: Mapping[str, ModalityDecoder],
        reader: FusionReader | None = None,
        contrastive: Contrastive | None,
        contrastive_weight: float,
        reconstructions: Mapping[str, Reconstruction],
        visible_tokens: int,
        alpha: float,
        normalize_patches: bool,
    ):
        super().__init__()
        self.backbone = backbone
        self.decoders = nn.ModuleDict(decoders)
        self.reader = reader
        self.contrastive = contrastive
        self.contrastive_weight = contrastive_weight
        self.reconstructions = dict(reconstructions)
        self.visible_tokens = visible_tokens
        self.alpha = alpha
        self.normalize_patches = normalize_patches
        modalities = backbone.modalities
        for key, values in (("pixel_mean", modalities.pixel_mean), ("pixel_std", modalities.pixel_std)):
            self.register_buffer(key, torch.tensor(values).view(-1, 1, 1), persistent=False)

    @classmethod
    def from_config(cls, cfg) -> dict:
        encoder = IncompleteMultimodalEncoder(**encoder_arguments(cfg))  # without maps: there is no head here
        modalities, imrsf = ModalitySet.from_config(cfg), cfg.MODEL.IMRSF
        pretrain = imrsf.PRETRAIN
        decoders = {
            m.name: ModalityDecoder(
                m, imrsf.PATCH_SIZE, imrsf.EMBED_DIM, pretrain.DECODER_DIM, pretrain.DECODER_DEPTH, pretrain.DECODER_HEADS
            )
            for m in modalities
        }
        reader = None
        if pretrain.CROSS_ATTENTION:
            reader = FusionReader(imrsf.EMBED_DIM, imrsf.NUM_HEADS, imrsf.MLP_RATIO)
        weight = pretrain.CONTRASTIVE.WEIGHT
        contrastive = None
        if weight:
            contrastive = Contrastive(
                len(modalities), imrsf.EMBED_DIM, imrsf.NUM_HEADS, pretrain.CONTRASTIVE.DIM, pretrain.CONTRASTIVE.TEMPERATURE
            )
        return {
            "backbone": encoder,
            "decoders": decoders,
            "reader": reader,
            "contrastive": contrastive,
            "contrastive_weight": weight,
            "reconstructions": read_reconstructions(pretrain.RECONSTRUCTION, modalities),
            "visible_tokens": pretrain.VISIBLE_TOKENS,
            "alpha": pretrain.ALPHA,
            "normalize_patches": pretrain.NORMALIZE_PATCHES,
        }

    @property
    def device(self) -> torch.device:
        """Where the model is, as Detectron2's meta-architectures say it."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: Sequence[Mapping]) -> dict[str, Tensor] | list[dict]:
        """Losses of a batch in training; in evaluation, the reconstruction of each sample.

        Args:
            batched_inputs: mapped samples: `image` [C + M, H, W], not normalized, and `mask_seed`, the seed of the
                visible patches.

        Returns:
            In training `loss_<modality>` and, with contrastive loss, `loss_contrastive`, weighted as they are summed.
            In evaluation for each sample `present` and `visible`, [M, Hp, Wp] bool, and `reconstruction`: name -> [C, H,
            W] in the image's units, or class indices [1, H, W]; of every modality, including those that it lacks.

        Raises:
            ValueError: if a sample has no `mask_seed`.
        """
        given = to_device({i: sample["image"] for i, sample in enumerate(batched_inputs)}, self.device)
        images = [(image - self.pixel_mean) / self.pixel_std for image in given.values()]
        patches = self.backbone.read(ImageList.from_tensors(images, self.backbone.patch_size).tensor)
        # Masks are drawn and indices made on the CPU before any work of the encoder is queued: the host waits for the
        # device here, and not again, unless eq. 6 looks for its pairs in several processes.
        present = patches.present.cpu()
        visible = torch.from_numpy(
            np.stack(
                [
                    draw_visible(of_sample, self.visible_tokens, self.alpha, np.random.default_rng(_mask_seed(sample)))
                    for of_sample, sample in zip(present.numpy(), batched_inputs)
                ]
            )
        )
        hidden = self._index_hidden(present & ~visible) if self.training else []
        contrasted = self.training and self.contrastive is not None
        encoded = self.backbone.encode_visible(patches, visible, streams=contrasted or self.reader is not None)
        fusion = self.backbone.norm(encoded.fusion)
        tokens = None if encoded.tokens is None else self.backbone.norm(encoded.tokens)
        read = fusion if self.reader is None else self.reader(tokens, fusion, encoded.layout)
        if not self.training:
            sizes = [image.shape[-2:] for image in images]
            return self._reconstruct(patches, read, present, visible, sizes)
        losses = self._reconstruction_losses(patches, read, hidden)
        if self.contrastive is not None:
            loss = self.contrastive(tokens, fusion, encoded.layout)
            losses["loss_contrastive"] = self.contrastive_weight * loss
        return losses

    def _index_hidden(self, hidden: Tensor) -> list[Hidden]:
        """The hidden patches [B, M, N] (CPU) of each modality."""
        if not hidden.any():
            log_first_n(logging.WARNING, NOTHING_HIDDEN % self.visible_tokens, name=__name__)
        indices = {}
        for m, of_modality in enumerate(hidden.unbind(1)):
            samples = of_modality.any(dim=1).nonzero().squeeze(1)
            indices["samples", m] = samples
            indices["image", m], indices["patch", m] = of_modality.nonzero().unbind(1)
            indices["row", m] = of_modality[samples].flatten().nonzero().squeeze(1)
        at = to_device(indices, self.device)
        return [Hidden(at["samples", m], at["image", m], at["patch", m], at["row", m]) for m in range(len(self.decoders))]

    def _reconstruction_losses(self, patches: Patches, fusion: Tensor, hidden: Sequence[Hidden]) -> dict[str, Tensor]:
        """Eq. 5 for every modality, on its hidden patches; 0 if none of its patches is hidden."""
        totals, counts = [], []
        for m, ((name, decoder), of_modality) in enumerate(zip(self.decoders.items(), hidden)):
            if not len(of_modality.samples):
                # Zero gradients for its parameters and the encoder's: distributed training waits for every gradient.
                totals.append(zero_of((fusion, *decoder.parameters()), fusion).float())
                counts.append(fusion.new_zeros((), dtype=torch.float32))
                continue
            predicted = decoder(fusion[of_modality.samples], of_modality.row)
            target, valid = self._cut(patches, m, of_modality.image, of_modality.patch)
            total, count = summed_loss(predicted, target, valid, self.reconstructions[name].loss, self.normalize_patches)
            totals.append(total)
            counts.append(count)
        means = mean_of_all(torch.stack(totals), torch.stack(counts))
        return {f"loss_{name}": judged.weight * mean for (name, judged), mean in zip(self.reconstructions.items(), means)}

    def _cut(self, patches: Patches, m: int, image: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:
        """Bands [k, C, p, p] and validity [k, p, p] of some patches of a modality."""
        at = image, patch, self.backbone.patch_size
        bands = patches.bands[:, self.backbone.modalities.bands(self.backbone.modalities.names[m])]
        return take_patches(bands, *at), take_patches(patches.valid[:, m : m + 1], *at)[:, 0]

    def _reconstruct(
        self, patches: Patches, fusion: Tensor, present: Tensor, visible: Tensor, sizes: Sequence
    ) -> list[dict]:
        """Every patch of every modality, including the visible ones."""
        batch_size, _, num_patches = visible.shape
        everywhere = torch.arange(batch_size * num_patches, device=self.device)
        image, patch = everywhere // num_patches, everywhere % num_patches
        whole = {}
        for m, modality in enumerate(self.backbone.modalities):
            values = self.decoders[modality.name](fusion, everywhere)
            if modality.categorical:
                values = values.argmax(dim=1, keepdim=True)
            else:
                if self.normalize_patches:
                    mean, deviation = patch_statistics(*self._cut(patches, m, image, patch))
                    values = values * deviation + mean
                bands = self.backbone.modalities.bands(modality.name)
                values = values * self.pixel_std[bands] + self.pixel_mean[bands]
            whole[modality.name] = _join(values, batch_size, patches.grid).float()
        return [
            {
                "present": present[b].unflatten(1, patches.grid),
                "visible": visible[b].unflatten(1, patches.grid),
                "reconstruction": {name: values[b, :, :height, :width] for name, values in whole.items()},
            }
            for b, (height, width) in enumerate(sizes)
        ]


def _join(values: Tensor, batch_size: int, grid: tuple[int, int]) -> Tensor:
    """Patches [B * Hp * Wp, C, p, p] to images [B, C, Hp * p, Wp * p]."""
    tiles = values.unflatten(0, (batch_size, *grid)).permute(0, 3, 1, 4, 2, 5)
    return tiles.flatten(4, 5).flatten(2, 3)


def _mask_seed(sample: Mapping) -> int:
    if "mask_seed" not in sample:
        raise InputError(
            f"the sample {sample.get('file_name', '')!r} has no 'mask_seed', the seed of its visible "
            "patches; pre-training needs INPUT.DATASET_MAPPER_NAME imrsf_pretrain."
        )
    return sample["mask_seed"]
