"""Reconstructed samples, in memory and in files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.atomic import write_atomically
from imrsf_d2.utils.errors import InputError

__all__ = ["ReconstructedSample", "read_reconstructed", "write_reconstructed"]


@dataclass(frozen=True)
class ReconstructedSample:
    """A sample, the patches of it that the encoder saw, and what the decoders predicted from them.

    Args:
        name: identifies the sample for readers.
        image: [C + M, H, W] float32 in a `ModalitySet`'s layout, not normalized.
        present: [M, Hp, Wp] bool, True = the modality has data in that patch. The patches of the last row and column
            may reach beyond the image.
        visible: [M, Hp, Wp] bool, True = the encoder saw that patch; the other present patches were masked.
        predicted: [C, H, W] float32, the reconstructed bands in the units of `image`; class indices for a map.
        patch_size: px.
    """

    name: str
    image: np.ndarray
    present: np.ndarray
    visible: np.ndarray
    predicted: np.ndarray
    patch_size: int


def write_reconstructed(path: str | os.PathLike, samples: Sequence[ReconstructedSample], modalities: ModalitySet) -> None:
    """Write reconstructions to a compressed .npz file.

    Args:
        path: of the file.
        samples: of the same or of different sizes.
        modalities: those of the samples, in the layout of their images.
    """
    arrays: dict[str, Any] = {
        "modalities": np.array(modalities.names),
        "samples": np.array([sample.name for sample in samples]),
    }
    for number, sample in enumerate(samples):
        arrays |= {
            f"{number}.patch_size": np.array(sample.patch_size),
            f"{number}.valid": sample.image[modalities.num_bands :] >= 0.5,
            f"{number}.present": sample.present,
            f"{number}.visible": sample.visible,
        }
        for name in modalities.names:
            bands = modalities.bands(name)
            arrays[f"{number}.image.{name}"] = sample.image[bands]
            arrays[f"{number}.reconstruction.{name}"] = sample.predicted[bands]
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def read_reconstructed(path: str | os.PathLike, modalities: ModalitySet) -> list[ReconstructedSample]:
    """Read a file written by `write_reconstructed`.

    Args:
        path: of the file.
        modalities: those that its samples must have.

    Raises:
        InputError: if the file holds reconstructions of other modalities, or none.
    """
    with np.load(path) as arrays:
        found = arrays["modalities"].tolist() if "modalities" in arrays else "no modalities"
        if found != list(modalities.names):
            raise InputError(f"{os.fspath(path)} holds {found}, expected reconstructions of {list(modalities.names)}.")
        samples = []
        for number, name in enumerate(arrays["samples"].tolist()):
            image, predicted = (
                np.concatenate([arrays[f"{number}.{what}.{modality}"] for modality in modalities.names], dtype=np.float32)
                for what in ("image", "reconstruction")
            )
            samples.append(
                ReconstructedSample(
                    name,
                    np.concatenate([image, arrays[f"{number}.valid"].astype(np.float32)]),
                    arrays[f"{number}.present"],
                    arrays[f"{number}.visible"],
                    predicted,
                    int(arrays[f"{number}.patch_size"]),
                )
            )
    return samples
