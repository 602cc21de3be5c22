"""Samples as a model is fed them, with the truth beside and, if there is a model, what it predicts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import nn

from imrsf_d2.data.datasets import check_registered
from imrsf_d2.data.loaders import build_train_loader
from imrsf_d2.data.mappers import PRETRAIN_MAPPER, build_mapper
from imrsf_d2.utils.precision import autocast
from imrsf_d2.visualization.targets import NoSensor, Target, target_reader

__all__ = ["Tile", "choose_tiles", "predict_samples", "predict_tiles", "training_tiles"]


@dataclass(frozen=True)
class Tile:
    """One sample as a model is fed it.

    Args:
        name: which sample it is.
        image: [C + M, H, W] float32, as in a `ModalitySet`'s layout, not normalized.
        truth: what there is; None of a sample for pre-training.
        prediction: what the model found, of the same kind, or `NoSensor`; None without a model.
    """

    name: str
    image: np.ndarray
    truth: Target | None
    prediction: Target | None = None


def choose_tiles(samples: Sequence[dict], number: int) -> list[int]:
    """Positions of tiles that are worth a look.

    With annotations: from the middle to the crowded end of the dataset, by the number of objects. Without: spread
    evenly over it.

    Args:
        samples: Detectron2 dataset dicts.
        number: how many; fewer if there are fewer samples.
    """
    number, end = min(number, len(samples)), len(samples) - 1
    counts = [len(sample.get("annotations", ())) for sample in samples]
    order = sorted(range(len(samples)), key=lambda i: (counts[i], i))
    first, middle, last = (0.5, 0.75, 0.95) if any(counts) else (0.0, 0.5, 1.0)
    if number == 1:
        return [order[round(middle * end)]]
    # So far apart that no two places are rounded to the same tile.
    last = max(round(last * end), number - 1)
    first = max(min(round(first * end), last - (number - 1)), 0)
    return [order[int(place + 0.5)] for place in np.linspace(first, last, number)]


def training_tiles(cfg: CfgNode) -> Iterator[Tile]:
    """The endless stream of training samples, after augmentation and modality dropout, from the first draw on.

    Raises:
        ValueError: if the config asks for what the training loader does not do, or names no usable dataset.
    """
    cfg = cfg.clone()
    cfg.defrost()
    # A draw depends on its number alone, so a small stream in this process is the same as the training's.
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = 1, 0
    check_registered(cfg.DATASETS.TRAIN)
    labeled = cfg.INPUT.DATASET_MAPPER_NAME != PRETRAIN_MAPPER
    readers = [target_reader(name) for name in cfg.DATASETS.TRAIN if labeled]
    batches = build_train_loader(cfg)
    for draw, sample in enumerate(itertools.chain.from_iterable(batches)):
        truth = readers[0].of_training(sample) if labeled else None
        yield Tile(f"{_stem(sample)}\ndraw {draw}", sample["image"].numpy(), truth)


def predict_tiles(
    cfg: CfgNode, model: nn.Module | None, dataset_name: str, positions: Sequence[int], subset: Sequence[str]
) -> list[Tile]:
    """Run a model on some tiles of a dataset with a subset of the modalities, in the precision that scores are computed in.

    Args:
        model: None for the inputs and the truth alone.
        dataset_name: a registered name.
        positions: of the tiles in the dataset.
        subset: names of the modalities to keep. A tile that has none of them is not predicted.
    """
    samples = DatasetCatalog.get(dataset_name)
    return predict_samples(cfg, model, dataset_name, [samples[position] for position in positions], subset)


def predict_samples(
    cfg: CfgNode, model: nn.Module | None, dataset_name: str, samples: Sequence[dict], subset: Sequence[str]
) -> list[Tile]:
    """As `predict_tiles`, for dataset dicts that are already at hand."""
    reader = target_reader(dataset_name)
    mapper = build_mapper(cfg, is_train=False, keep=subset)
    was_training = model is not None and model.training
    if model is not None:
        model.eval()
    tiles = []
    for sample in samples:
        mapped = mapper(sample)
        prediction = None
        if model is not None and not mapped["modalities"]:
            prediction = NoSensor()
        elif model is not None:
            with torch.no_grad(), autocast(cfg):
                prediction = reader.of_output(model([mapped])[0])
        tiles.append(Tile(_stem(mapped), mapped["image"].numpy(), reader.of_dataset(sample), prediction))
    if was_training:
        model.train()
    return tiles


def _stem(sample: dict) -> str:
    return Path(sample["file_name"]).stem
