"""Images that a graph is recorded with and checked on."""

from __future__ import annotations

import torch
from torch import Tensor

from imrsf_d2.modeling.fixed_backbone import FixedBackbone

__all__ = ["example_inputs", "masked_cases"]

#: What a graph takes: name -> [1, C_m, H, W], and validity [1, M, H, W] or None.
Inputs = tuple[dict[str, Tensor], Tensor | None]


def example_inputs(backbone: FixedBackbone, seed: int = 0) -> Inputs:
    """An image of random numbers with each sensor's mean and standard deviation, complete."""
    generator = torch.Generator().manual_seed(seed)
    sensors = {}
    for modality in backbone.modalities:
        shape = 1, modality.channels, *backbone.size
        if modality.categorical:
            sensors[modality.name] = torch.randint(modality.classes, shape, generator=generator).float()
        else:
            mean, std = (torch.tensor(values)[:, None, None] for values in (modality.mean, modality.std))
            sensors[modality.name] = torch.randn(shape, generator=generator) * std + mean
    validity = torch.ones(1, len(backbone.modalities), *backbone.size) if backbone.takes_validity else None
    return sensors, validity


def masked_cases(backbone: FixedBackbone) -> dict[str, Inputs]:
    """Images to check a graph on: one for each subset that it is for, and one in which each sensor ends somewhere else."""
    if not backbone.takes_validity:
        return {"+".join(backbone.modalities.names): example_inputs(backbone)}
    cases: dict[str, Inputs] = {}
    for seed, subset in enumerate(backbone.modalities.subsets()):
        sensors, validity = example_inputs(backbone, seed)
        assert validity is not None
        for m, name in enumerate(backbone.modalities.names):
            validity[:, m] = float(name in subset)
        cases["+".join(subset)] = sensors, validity
    sensors, validity = example_inputs(backbone, seed=len(cases))
    assert validity is not None
    for m in range(len(backbone.modalities)):
        edge = (m + 1) * backbone.size[1] // (len(backbone.modalities) + 1)
        validity[:, m, :, edge:] = 0.0
    cases["partial coverage"] = sensors, validity
    return cases
