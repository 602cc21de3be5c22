"""What a pre-trained model made of a sample, in memory and in small files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.atomic import write_atomically
from imrsf_d2.utils.errors import InputError

__all__ = ["ReconstructedSample", "read_reconstructed", "write_reconstructed"]

#: Levels between the least and the greatest value that a picture tells apart.
LEVELS = 256


@dataclass(frozen=True)
class ReconstructedSample:
    """A sample, what the encoder saw of it, and what the decoders made of that.

    Args:
        name: which sample it is.
        image: [C + M, H, W] float32 in a `ModalitySet`'s layout, not normalized.
        present: [M, Hp, Wp] bool, True = the modality has data in that patch. The patches of the last row and column
            may reach beyond the image.
        visible: [M, Hp, Wp] bool, True = the encoder saw that patch; the other present ones are masked.
        predicted: [C, H, W] float32, the bands as reconstructed, in the units of `image`; class indices of a map.
        patch_size: px.
    """

    name: str
    image: np.ndarray
    present: np.ndarray
    visible: np.ndarray
    predicted: np.ndarray
    patch_size: int


def write_reconstructed(path: str | os.PathLike, samples: Sequence[ReconstructedSample], modalities: ModalitySet) -> None:
    """Write reconstructions as a compressed .npz, rounded to what a picture shows.

    Args:
        samples: of the same or of different sizes.
    """
    arrays: dict[str, np.ndarray] = {
        "modalities": np.array(modalities.names),
        "samples": np.array([sample.name for sample in samples]),
    }
    for number, sample in enumerate(samples):
        valid = sample.image[modalities.num_bands :] >= 0.5
        arrays |= {
            f"{number}.patch_size": np.array(sample.patch_size),
            f"{number}.valid": valid,
            f"{number}.present": sample.present,
            f"{number}.visible": sample.visible,
        }
        for name in modalities.names:
            bands = modalities.bands(name)
            arrays[f"{number}.image.{name}"] = _smallest(sample.image[bands], valid[modalities.index_of(name)])
            arrays[f"{number}.reconstruction.{name}"] = _smallest(sample.predicted[bands])
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def read_reconstructed(path: str | os.PathLike, modalities: ModalitySet) -> list[ReconstructedSample]:
    """Read what `write_reconstructed` wrote.

    Raises:
        ValueError: if the file holds reconstructions of other modalities, or none.
    """
    with np.load(path) as arrays:
        found = arrays["modalities"].tolist() if "modalities" in arrays else "no modalities"
        if found != list(modalities.names):
            raise InputError(f"{os.fspath(path)} holds {found}, expected reconstructions of {list(modalities.names)}.")
        samples = []
        for number, name in enumerate(arrays["samples"].tolist()):
            image, predicted = (
                np.concatenate([arrays[f"{number}.{what}.{modality}"].astype(np.float32) for modality in modalities.names])
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


def _smallest(bands: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Bands [C, H, W] in the smallest type that is within half a level of them, in the pixels set in `valid` [H, W]."""
    counting = bands[:, valid] if valid is not None else bands
    with np.errstate(invalid="ignore", over="ignore"):  # what does not fit in a type is not within half a level
        tolerance = np.ptp(counting) / (2 * LEVELS) if counting.size else np.inf
        for rounded in (np.clip(np.round(bands), 0, 255).astype(np.uint8), bands.astype(np.float16)):
            error = np.abs((rounded[:, valid] if valid is not None else rounded) - counting)
            if (error <= tolerance).all():
                return rounded
    return bands.astype(np.float32)
