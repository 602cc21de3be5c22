"""The models and images to measure: a ViT-B, and a tiny model to try the benchmarks themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling import IncompleteMultimodalViT

__all__ = ["Case", "QUICK", "VIT_B"]

#: A case uses the first M of these.
MODALITIES = (Modality("sar", 1), Modality("rgb", 3), Modality("dsm", 1), Modality("nir", 1))


@dataclass(frozen=True)
class Case:
    """Sizes of a model and of its input.

    Args:
        embed_dim, depth, num_heads, patch_size: sizes of the encoder.
        num_modalities: M, up to 4.
        batch_size: B.
        sizes: sides of the small and the large square images, in pixels.
        memory_size: side of the image for measuring memory, in pixels.
        num_scored_images: number of images in the benchmark of evaluation.
        device: "cpu" or "cuda".
    """

    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    patch_size: int = 16
    num_modalities: int = 3
    batch_size: int = 4
    sizes: tuple[int, int] = (256, 512)
    memory_size: int = 1024
    num_scored_images: int = 500
    device: str = "cpu"

    def with_(self, **changes) -> Case:
        """A copy with some values changed."""
        return replace(self, **changes)

    @property
    def modalities(self) -> ModalitySet:
        """The first M modalities."""
        return ModalitySet(MODALITIES[: self.num_modalities])

    def num_patches(self, size: int) -> int:
        """The number of patches N of a square image."""
        return (size // self.patch_size) ** 2

    def build(self, model_class: type[IncompleteMultimodalViT] = IncompleteMultimodalViT) -> IncompleteMultimodalViT:
        """The model in evaluation mode; every class gets the same weights."""
        torch.manual_seed(0)
        model = model_class(
            modalities=self.modalities,
            patch_size=self.patch_size,
            embed_dim=self.embed_dim,
            depth=self.depth,
            num_heads=self.num_heads,
        )
        return model.to(self.device).eval()

    def images(self, size: int, subsets: Sequence[Sequence[str]] | None = None, lacking: float = 0.0) -> Tensor:
        """[B, C + M, H, W] random images with validity channels.

        Args:
            size: H = W, in pixels.
            subsets: the modalities of each image; default: `batch_size` complete images.
            lacking: share of each modality's patches without data, drawn for each image and modality.
        """
        generator = torch.Generator().manual_seed(0)
        modalities = self.modalities
        subsets = [modalities.names] * self.batch_size if subsets is None else subsets
        image = torch.randn(len(subsets), modalities.num_channels, size, size, generator=generator)
        grid = size // self.patch_size
        for sample, subset in enumerate(subsets):
            for name in modalities.names:
                keep = torch.rand(grid, grid, generator=generator) >= lacking
                valid = keep.repeat_interleave(self.patch_size, 0).repeat_interleave(self.patch_size, 1)
                image[sample, modalities.validity(name)] = valid.float() if name in subset else 0.0
        return image.to(self.device)

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def __str__(self) -> str:
        return (
            f"D = {self.embed_dim}, depth {self.depth}, {self.num_heads} heads, patch {self.patch_size}, "
            f"M = {self.num_modalities}, batch {self.batch_size}"
        )


VIT_B = Case()
QUICK = Case(embed_dim=32, depth=2, num_heads=2, sizes=(64, 96), memory_size=512, num_scored_images=5)
