"""Samples as the model receives them, with the ground truth and, if there is a model, its predictions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import nn

from imrsf_d2.data.datasets import check_registered
from imrsf_d2.data.loaders import build_train_loader
from imrsf_d2.data.mappers import PRETRAIN_MAPPER, build_mapper
from imrsf_d2.data.sample_names import sample_name, sample_names
from imrsf_d2.data.views import batch_of_views
from imrsf_d2.utils.precision import autocast
from imrsf_d2.visualization.targets import NoSensor, Target, target_reader

__all__ = ["ShownTile", "choose_tiles", "object_counts", "predict_samples", "predict_tiles", "training_tiles"]


@dataclass(frozen=True)
class ShownTile:
    """One sample as the model receives it, to be shown in a figure.

    Args:
        name: identifies the sample for readers.
        image: [C + M, H, W] float32 in a `ModalitySet`'s layout, not normalized.
        truth: the ground truth; None for a pre-training sample.
        prediction: of the same kind as `truth`, or `NoSensor`; None without a model.
    """

    name: str
    image: np.ndarray
    truth: Target | None
    prediction: Target | None = None


def choose_tiles(samples: Sequence[dict], number: int) -> list[int]:
    """Choose tiles that are worth looking at.

    With annotations or segments, these are tiles with a medium to high number of objects; without, they are spread evenly over the
    dataset.

    Args:
        samples: Detectron2 dataset dicts.
        number: how many; fewer if there are fewer samples.

    Returns:
        Positions in `samples`, all different.
    """
    number, end = min(number, len(samples)), len(samples) - 1
    counts = object_counts(samples)
    order = sorted(range(len(samples)), key=lambda i: (counts[i], i))
    first, middle, last = (0.5, 0.75, 0.95) if any(counts) else (0.0, 0.5, 1.0)
    if number == 1:
        return [order[round(middle * end)]]
    # Far enough apart that no two positions are rounded to the same tile.
    last = max(round(last * end), number - 1)
    first = max(min(round(first * end), last - (number - 1)), 0)
    return [order[int(place + 0.5)] for place in np.linspace(first, last, number)]


def object_counts(samples: Sequence[dict]) -> list[int]:
    """The number of annotations or segments of each dataset dict; 0 where there are none."""
    return [len(sample.get("annotations") or sample.get("segments_info", ())) for sample in samples]


def training_tiles(cfg: CfgNode) -> Iterator[ShownTile]:
    """The endless stream of training samples from the first draw on, after augmentation and modality dropout; of several views of a
    sample, one after the other.

    Raises:
        ValueError: if the training loader does not support the config, or it names no usable dataset.
    """
    cfg = cfg.clone()
    cfg.defrost()
    # A draw depends on its number only, so small batches in this process have the same samples as the training run.
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = 1, 0
    check_registered(cfg.DATASETS.TRAIN)
    labeled = cfg.INPUT.DATASET_MAPPER_NAME != PRETRAIN_MAPPER
    readers = [target_reader(name) for name in cfg.DATASETS.TRAIN if labeled]
    batches = build_train_loader(cfg)
    views = batch_of_views(cfg)
    for draw, sample in enumerate(itertools.chain.from_iterable(batches)):
        truth = readers[0].of_training(sample) if labeled else None
        for number, row in enumerate([sample] if views is None else views([sample])):
            view = "" if views is None else f", view {number + 1}"
            yield ShownTile(f"{sample_name(sample)}\ndraw {draw}{view}", row["image"].numpy(), truth)


def predict_tiles(
    cfg: CfgNode, model: nn.Module | None, dataset_name: str, positions: Sequence[int], subset: Sequence[str]
) -> list[ShownTile]:
    """Run a model on some tiles of a dataset with a subset of the modalities, in the precision of evaluations.

    Args:
        cfg: the config the model was built from.
        model: None for the inputs and the ground truth only.
        dataset_name: a registered name.
        positions: of the tiles in the dataset.
        subset: names of the modalities to keep. For a tile without any of them there is no prediction.
    """
    samples = DatasetCatalog.get(dataset_name)
    return predict_samples(cfg, model, dataset_name, [samples[position] for position in positions], subset)


def predict_samples(
    cfg: CfgNode, model: nn.Module | None, dataset_name: str, samples: Sequence[dict], subset: Sequence[str]
) -> list[ShownTile]:
    """As `predict_tiles`, for dataset dicts instead of positions in the dataset."""
    reader = target_reader(dataset_name)
    mapper = build_mapper(cfg, is_train=False, keep=subset)
    was_training = model is not None and model.training
    if model is not None:
        model.eval()
    tiles = []
    for sample, name in zip(samples, sample_names(samples)):
        mapped = mapper(sample)
        prediction: Target | None = None
        if model is not None and not mapped["modalities"]:
            prediction = NoSensor()
        elif model is not None:
            with torch.no_grad(), autocast(cfg):
                prediction = reader.of_output(model([mapped])[0])
        tiles.append(ShownTile(name, mapped["image"].numpy(), reader.of_dataset(sample), prediction))
    if model is not None:
        model.train(was_training)
    return tiles
