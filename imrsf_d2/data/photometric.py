"""Photometric jitter: what each kind of sensor might have measured on another day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from imrsf_d2.geo.decibel import to_db
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = ["Jitter", "read_jitters"]


@dataclass(frozen=True)
class Jitter:
    """How much the values of one modality are changed at random; 0 leaves them.

    Args:
        brightness: largest shift, common to all bands, in standard deviations of each band (optical).
        contrast: largest relative change of the distance from the mean, e.g. 0.2 for factors of 0.8 to 1.2 (optical).
        speckle: standard deviation of multiplicative noise of mean 1, gamma distributed like speckle, independent in
            each pixel and band, in linear power whatever the modality's transform (SAR).
        offset: largest shift, in the modality's own units, e.g. meters (elevation).

    Raises:
        ValueError: if a number is negative, or `contrast` is not below 1.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    speckle: float = 0.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
                raise InputError(f"{field.name.upper()} is {value!r}, expected a number of 0 or more")
        if self.contrast >= 1:
            raise InputError(f"CONTRAST is {self.contrast!r}, expected less than 1")

    def apply(self, bands: np.ndarray, valid: np.ndarray, modality: Modality, rng: np.random.Generator) -> np.ndarray:
        """Jitter a sample's bands.

        Args:
            bands: [C, H, W] float32 in model units before normalization.
            valid: [H, W] bool; invalid pixels keep their values.
            modality: that the bands belong to.
            rng: the sample's own generator.

        Returns:
            [C, H, W] float32, within the modality's clip.
        """
        mean, std = (np.asarray(values, dtype=np.float32)[:, None, None] for values in (modality.mean, modality.std))
        # Always drawn, so that changing one number in the config leaves the other draws unchanged.
        contrast, brightness, offset = rng.uniform(-1, 1, 3).astype(np.float32)
        result = bands
        if self.contrast or self.brightness or self.offset:
            result = (
                mean
                + (result - mean) * (1 + self.contrast * contrast)
                + std * (self.brightness * brightness)
                + self.offset * offset
            )
        if self.speckle:
            looks = self.speckle**-2
            noise = rng.gamma(looks, 1 / looks, bands.shape).astype(np.float32)
            if modality.in_decibels:
                result = result + to_db(np.maximum(noise, np.finfo(np.float32).tiny))
            else:
                result = result * noise
        if modality.clip is not None:
            result = np.clip(result, *modality.clip)
        return np.where(valid, result, bands).astype(np.float32, copy=False)


def read_jitters(entries: Iterable[Mapping], modalities: ModalitySet) -> dict[str, Jitter]:
    """Read `INPUT.PHOTOMETRIC`.

    Args:
        entries: mappings with NAME and any of BRIGHTNESS, CONTRAST, SPECKLE, OFFSET.
        modalities: those of the model.

    Returns:
        The jitter of each modality that has one.

    Raises:
        ValueError: on an unknown key or modality, one named twice, a categorical one, or a bad number.
    """
    known = {field.name.upper(): field.name for field in fields(Jitter)}
    jitters = {}
    for entry in entries:
        where = f"INPUT.PHOTOMETRIC: entry {entry!r}"
        if not isinstance(entry, Mapping) or "NAME" not in entry or set(entry) - {"NAME", *known}:
            raise InputError(
                f"{where} is no mapping of NAME and any of {', '.join(known)}, e.g. {{NAME: rgb, CONTRAST: 0.2}}."
            )
        name = entry["NAME"]
        if name not in modalities.names:
            raise InputError(f"{where} names an unknown modality; MODEL.IMRSF.MODALITIES has {list(modalities.names)}.")
        if name in jitters:
            raise InputError(f"INPUT.PHOTOMETRIC names {name!r} twice.")
        if modalities[name].categorical:
            raise InputError(f"{where}: {name!r} holds class indices, which have no brightness.")
        try:
            jitters[name] = Jitter(**{known[key]: value for key, value in entry.items() if key != "NAME"})
        except ValueError as error:
            raise InputError(f"{where}: {error}.") from error
    return jitters
