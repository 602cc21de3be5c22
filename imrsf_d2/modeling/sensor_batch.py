"""A batch as a mapping of sensors, and the one place where measurements become the normalized tensor that the model takes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling.transfer import to_device
from imrsf_d2.utils.errors import InputError

__all__ = ["Validity", "assemble_sensors", "holds_data", "normalize"]

#: Which sensors hold data: name -> flags [B] or [B, H, W], or the flags of all of them, [B, M] or [B, M, H, W].
Validity = Mapping[str, Tensor] | Tensor


def holds_data(values: Tensor, modality: Modality) -> Tensor:
    """Which pixels of a modality hold data by their values alone.

    Args:
        values: [..., C_m, H, W] in units after TRANSFORM, in the type that they came in.

    Returns:
        [..., H, W] bool, False where any band is not finite in float32, and where all bands have NODATA, as that type rounds it,
        which is looked for unless values are transformed.
    """
    usable = values.to(torch.float32).isfinite().all(dim=-3)
    if modality.nodata is not None and modality.transform == "none":
        usable = usable & ~(values == modality.nodata).all(dim=-3)
    return usable


def normalize(bands: Tensor, valid: Tensor, modalities: ModalitySet) -> Tensor:
    """Normalize by the modalities' statistics, with the arithmetic of Detectron2's models.

    Args:
        bands: [B, C, H, W] in units after TRANSFORM.
        valid: [B, M, H, W] bool, True = holds data.

    Returns:
        [B, C + M, H, W] with validity channels, 0 where invalid.
    """
    statistics = {"mean": modalities.pixel_mean, "std": modalities.pixel_std}
    numbers = {key: torch.tensor(values[: modalities.num_bands], dtype=bands.dtype) for key, values in statistics.items()}
    owners = [number for number, modality in enumerate(modalities) for _ in range(modality.channels)]
    moved = to_device({**numbers, "owners": torch.tensor(owners)}, bands.device)
    mean, std = (moved[key].view(-1, 1, 1) for key in statistics)
    invalid = ~valid.index_select(1, moved["owners"])
    return torch.cat([((bands - mean) / std).masked_fill(invalid, 0.0), valid.to(bands)], dim=1)


def assemble_sensors(sensors: Mapping[str, Tensor | None], modalities: ModalitySet, valid: Validity | None = None) -> Tensor:
    """Put the sensors of a batch into the tensor that the model takes.

    Args:
        sensors: name of a modality -> its bands [B, C_m, H, W] in units after TRANSFORM, of any real type, or None; those left
            out are missing too. A pixel holds no data where any band of its sensor is not finite, or all have its NODATA.
        modalities: the model's.
        valid: besides, which sensors of which samples, or which of their pixels, hold data: True or 1 where they do. Either name
            -> [B] or [B, H, W], for some of the sensors; or of all modalities, in their order, [B, M] or [B, M, H, W].

    Returns:
        Normalized [B, C + M, H, W] float32 with validity channels, 0 where invalid.

    Raises:
        ValueError: if a name is no modality's, no sensor is there, or shapes, sizes or devices do not go together; the
            message names the sensor.
    """
    modalities.check_subset(sensors, "the batch")
    given = {name: _checked(values, modalities[name]) for name, values in sensors.items() if values is not None}
    if not given:
        raise InputError(
            f"the batch has no sensor, expected a tensor [B, C, H, W] of at least one of {list(modalities.names)}; a sample that lacks "
            "all sensors holds NaN."
        )
    first, reference = next(iter(given.items()))
    batch_size, _, height, width = reference.shape
    for name, values in given.items():
        if (len(values), *values.shape[2:]) != (batch_size, height, width):
            raise InputError(
                f"{name!r} is {list(values.shape)}, expected [{batch_size}, {values.shape[1]}, {height}, {width}]: as many samples and "
                f"pixels as {first!r}, on one pixel grid."
            )
        if values.device != reference.device:
            raise InputError(f"{name!r} is on {values.device}, expected {reference.device} like {first!r}.")
    stated = _stated(valid, modalities, (batch_size, height, width), reference.device)
    bands, usable = [], []
    for modality in modalities:
        if modality.name not in given:
            bands.append(torch.zeros(batch_size, modality.channels, height, width, device=reference.device))
            usable.append(torch.zeros_like(bands[-1][:, 0], dtype=torch.bool))
            continue
        bands.append(given[modality.name].to(torch.float32))
        usable.append(holds_data(given[modality.name], modality))
        if modality.name in stated:
            usable[-1] = usable[-1] & stated[modality.name]
    return normalize(torch.cat(bands, dim=1), torch.stack(usable, dim=1), modalities)


def _checked(values: object, modality: Modality) -> Tensor:
    if not isinstance(values, Tensor) or values.ndim != 4 or values.shape[1] != modality.channels or values.is_complex():
        found = f"{values.dtype} {list(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise InputError(
            f"{modality.name!r} is {found}, expected a tensor [B, {modality.channels}, H, W] of real numbers, or None where all samples "
            "lack it."
        )
    return values


def _stated(
    valid: Validity | None, modalities: ModalitySet, shape: tuple[int, int, int], device: torch.device
) -> dict[str, Tensor]:
    """name -> [B, 1, 1] or [B, H, W] bool, of the modalities that `valid` says something about."""
    batch_size, height, width = shape
    if valid is None:
        return {}
    if isinstance(valid, Tensor):
        leading = [batch_size, len(modalities)]
        if list(valid.shape) not in (leading, [*leading, height, width]):
            raise InputError(
                f"valid is {list(valid.shape)}, expected {leading} or {[*leading, height, width]}: samples, then {modalities}."
            )
        valid = dict(zip(modalities.names, valid.unbind(dim=1)))
    elif not isinstance(valid, Mapping):
        raise InputError(
            f"valid is {type(valid).__name__}, expected a tensor, or a mapping from some of {list(modalities.names)} to tensors."
        )
    modalities.check_subset(valid, "valid")
    stated = {}
    for name, flags in valid.items():
        if not isinstance(flags, Tensor) or tuple(flags.shape) not in ((batch_size,), shape):
            found = list(flags.shape) if isinstance(flags, Tensor) else type(flags).__name__
            raise InputError(f"valid[{name!r}] is {found}, expected a tensor [{batch_size}] or {list(shape)} of flags.")
        if flags.device != device:
            raise InputError(f"valid[{name!r}] is on {flags.device}, expected {device} like the sensors.")
        stated[name] = (flags > 0.5).reshape(batch_size, *(shape[1:] if flags.ndim == 3 else (1, 1)))
    return stated
