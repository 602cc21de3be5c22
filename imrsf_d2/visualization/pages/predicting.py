"""What a model predicts of tiles from each of several subsets of the sensors, and which sensors it listened to meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.evaluation import inference_context
from torch import nn

from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.data.sample_names import sample_names
from imrsf_d2.evaluation.shared_streams import SubsetModel, shares_streams
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.listening import Listener
from imrsf_d2.utils.precision import autocast

__all__ = ["Listened", "PredictedTile", "predict_with_subsets"]

Subset = tuple[str, ...]


@dataclass(frozen=True)
class Listened:
    """The weights of the sensors in the fusion tokens of one image.

    Args:
        beta: [M, Hp, Wp] float32; over the sensors of a patch they sum to 1. NaN where a sensor is absent. The patches of the
            last row and column may reach beyond the image.
        patch_px: side of a patch.
    """

    beta: np.ndarray
    patch_px: int


@dataclass(frozen=True)
class PredictedTile:
    """A tile and what a model predicts of it.

    Args:
        sample: its dataset dict.
        name: for readers; no other tile of the page has it.
        image: [C + M, H, W] float32 in a `ModalitySet`'s layout, not normalized; with all sensors.
        outputs: of the model, by subset; None where the tile has data of none of its sensors.
        listened: by subset; empty for a model without Bi-LSTM attention.
    """

    sample: Mapping
    name: str
    image: np.ndarray
    outputs: Mapping[Subset, Mapping | None]
    listened: Mapping[Subset, Listened]


def predict_with_subsets(
    cfg: CfgNode, model: nn.Module, samples: Sequence[Mapping], subsets: Sequence[Subset]
) -> Iterator[PredictedTile]:
    """Predict some tiles from each of several subsets, one tile at a time, as a sweep over subsets does.

    Args:
        cfg: the config the model was built from.
        model: with its weights loaded.
        samples: dataset dicts.
        subsets: names of modalities, in config order.
    """
    names = ModalitySet.from_config(cfg).names
    mappers = {subset: build_mapper(cfg, is_train=False, keep=subset) for subset in [names, *subsets]}
    shared = SubsetModel(model, subsets) if shares_streams(model) else None
    listener = Listener.if_weighing(model)

    def predict(sample: Mapping, mapped: dict) -> list[Mapping]:
        if shared is not None:
            return [output for (output,) in shared([mapped])]
        return [model([mappers[subset](sample)])[0] for subset in subsets]

    for sample, name in zip(samples, sample_names(samples)):
        mapped = mappers[names](sample)
        with inference_context(model), torch.no_grad(), autocast(cfg):
            if listener is None:
                outputs, listened = predict(sample, mapped), []
            else:
                sizes = [mapped["image"].shape[-2:]] * len(subsets)
                outputs, heard = listener.listen(partial(predict, sample, mapped), sizes)
                listened = [Listened(beta, listener.patch_px) for beta in heard]
        seen = [not set(subset).isdisjoint(mapped["modalities"]) for subset in subsets]
        yield PredictedTile(
            sample,
            name,
            mapped["image"].numpy(),
            {subset: output if has else None for subset, output, has in zip(subsets, outputs, seen)},
            {subset: own for subset, own, has in zip(subsets, listened, seen) if has},
        )
