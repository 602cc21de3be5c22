"""The reconstruction losses of pre-training (eq. 5, paper section III-D): how modalities are compared, on which pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = ["Reconstruction", "patch_statistics", "read_reconstructions", "summed_loss"]

_MEASUREMENT_LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss}
#: The loss of a categorical modality.
CROSS_ENTROPY = "ce"
#: Smallest standard deviation to divide by: that of a flat patch (water, shadow) is nothing but rounding.
MIN_DEVIATION = 1e-3


@dataclass(frozen=True)
class Reconstruction:
    """How one modality's reconstruction is judged.

    Args:
        loss: "mse" or "l1" on the normalized bands of a measurement, "ce" on the classes of a categorical modality.
        weight: in the sum of eq. 7.
    """

    loss: str
    weight: float = 1.0


def read_reconstructions(entries: Iterable[Mapping], modalities: ModalitySet) -> dict[str, Reconstruction]:
    """Read MODEL.IMRSF.PRETRAIN.RECONSTRUCTION.

    Args:
        entries: mappings with the keys NAME, LOSS and WEIGHT; all but NAME have defaults.

    Returns:
        An entry for each modality, in config order.

    Raises:
        ValueError: on an unknown key, modality or loss, a modality named twice, or a weight below 0.
    """
    key = "MODEL.IMRSF.PRETRAIN.RECONSTRUCTION"
    given: dict[str, Mapping] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or "NAME" not in entry or set(entry) - {"NAME", "LOSS", "WEIGHT"}:
            raise InputError(f"{key}: entry {entry!r}, expected a mapping with NAME and any of LOSS and WEIGHT.")
        name = entry["NAME"]
        if name in given or name not in modalities.names:
            problem = "twice" if name in given else f"which is not in MODEL.IMRSF.MODALITIES {list(modalities.names)}"
            raise InputError(f"{key} names the modality {name!r}, {problem}.")
        given[name] = entry
    judged = {}
    for modality in modalities:
        entry = given.get(modality.name, {})
        known = (CROSS_ENTROPY,) if modality.categorical else tuple(_MEASUREMENT_LOSSES)
        loss, weight = entry.get("LOSS", known[0]), entry.get("WEIGHT", 1.0)
        if loss not in known:
            raise InputError(f"{key}: LOSS of {modality.name!r} is {loss!r}, expected {' or '.join(map(repr, known))}.")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight < 0:
            raise InputError(f"{key}: WEIGHT of {modality.name!r} is {weight!r}, expected a number of 0 or more.")
        judged[modality.name] = Reconstruction(loss, float(weight))
    return judged


def summed_loss(predicted: Tensor, target: Tensor, valid: Tensor, loss: str, normalize: bool) -> tuple[Tensor, Tensor]:
    """Eq. 5 before the mean is taken, so that the mean can be taken over all processes.

    Args:
        predicted: [k, C or K, p, p] from a decoder.
        target: [k, C, p, p] normalized bands, or [k, 1, p, p] class indices.
        valid: [k, p, p] bool, True = the pixel counts.
        loss: see `Reconstruction`.
        normalize: normalize the target of measurements by each patch's own mean and standard deviation.

    Returns:
        The sum over all valid pixels and bands, and their number; both float32 scalars.
    """
    predicted = predicted.float()
    if loss == CROSS_ENTROPY:
        errors = F.cross_entropy(predicted, target[:, 0].long(), reduction="none")[:, None]
    else:
        target = target.float()
        if normalize:
            mean, deviation = patch_statistics(target, valid)
            target = (target - mean) / deviation
        errors = _MEASUREMENT_LOSSES[loss](predicted, target, reduction="none")
    counted = valid[:, None].expand_as(errors)
    return errors.masked_fill(~counted, 0.0).sum(), counted.sum(dtype=torch.float32)


def patch_statistics(target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each patch over its bands and valid pixels, as for MAE's normalized targets.

    Args:
        target: [k, C, p, p]; valid: [k, p, p] bool.

    Returns:
        Two tensors [k, 1, 1, 1]; 0 and 1 for a patch without valid pixels. Standard deviations are at least MIN_DEVIATION.
    """
    counted = valid[:, None].expand_as(target)
    number = counted.flatten(1).sum(dim=1).clamp(min=1).view(-1, 1, 1, 1)
    mean = target.masked_fill(~counted, 0.0).sum(dim=(1, 2, 3), keepdim=True) / number
    squares = (target - mean).square().masked_fill(~counted, 0.0).sum(dim=(1, 2, 3), keepdim=True)
    deviation = (squares / number).sqrt().clamp(min=MIN_DEVIATION)
    nothing = ~valid.flatten(1).any(dim=1).view(-1, 1, 1, 1)
    return mean, deviation.masked_fill(nothing, 1.0)
