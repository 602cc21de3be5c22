"""Figures of a config's data and of a model's predictions, a few samples per sheet."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import nn

from imrsf_d2.data.dataset_file import short_name
from imrsf_d2.modalities import ModalitySet, subset_label, subset_title
from imrsf_d2.utils.errors import InputError
from imrsf_d2.visualization.figures import draw_inputs, draw_overview, draw_subset
from imrsf_d2.visualization.targets import target_reader
from imrsf_d2.visualization.tiles import choose_tiles, predict_samples, training_tiles

__all__ = ["SHEET_ROWS", "draw_test_sheets", "draw_training_sheets"]

#: Samples per sheet: more would not fit on a screen.
SHEET_ROWS = 8


def draw_training_sheets(cfg: CfgNode, output: str | os.PathLike, number: int) -> Iterator[Path]:
    """Draw the first samples of the training stream: the inputs of the model and the ground truth.

    For a pre-training run, there are only inputs.

    Args:
        cfg: of a training run.
        output: folder for train_1.png, train_2.png, ..., with SHEET_ROWS samples each.
        number: of samples.

    Yields:
        The path of each sheet, once it is written.

    Raises:
        ValueError: see `training_tiles`.
    """
    modalities = ModalitySet.from_config(cfg)
    stream = itertools.islice(training_tiles(cfg), number)
    for page in itertools.count(1):
        tiles = list(itertools.islice(stream, SHEET_ROWS))
        if not tiles:
            return
        path = Path(output) / f"train_{page}.png"
        draw_inputs(path, tiles, modalities, f"{', '.join(map(short_name, cfg.DATASETS.TRAIN))}: training samples")
        yield path


def draw_test_sheets(
    cfg: CfgNode, model: nn.Module | None, subsets: Sequence[Sequence[str]], output: str | os.PathLike, number: int
) -> Iterator[Path]:
    """Draw samples of each test set with subsets of the modalities.

    Args:
        cfg: the config the model was built from.
        model: with its weights loaded; None for the inputs and the ground truth only.
        subsets: names of modalities.
        output: gets a folder for each dataset with `<subset>_1.png`, `<subset>_2.png`, ..., with SHEET_ROWS samples
            each; with a model and several subsets also overview_1.png, ..., which compares them.
        number: of samples, see `choose_tiles`.

    Yields:
        The path of each sheet, once it is written.

    Raises:
        ValueError: if a subset or dataset is unknown, or there is no dataset.
    """
    modalities = ModalitySet.from_config(cfg)
    checked = [modalities.check_subset(subset, "the subset") for subset in subsets]
    if not cfg.DATASETS.TEST:
        raise InputError(
            "DATASETS.TEST is empty, expected the name of a registered dataset: append DATASETS.TEST \"('name',)\"."
        )
    for dataset in cfg.DATASETS.TEST:
        target_reader(dataset)  # a mistake in the second name should come up before the sheets of the first are drawn
    for dataset in cfg.DATASETS.TEST:
        short, samples = short_name(dataset), DatasetCatalog.get(dataset)
        chosen = [samples[position] for position in choose_tiles(samples, number)]
        for page, start in enumerate(range(0, len(chosen), SHEET_ROWS), start=1):
            by_subset = {}
            for subset in checked:
                by_subset[subset] = predict_samples(cfg, model, dataset, chosen[start : start + SHEET_ROWS], subset)
                path = Path(output) / short / f"{subset_label(subset)}_{page}.png"
                draw_subset(path, by_subset[subset], modalities, subset, f"{short}: {subset_title(subset)}")
                yield path
            if model is not None and len(checked) > 1:
                path = Path(output) / short / f"overview_{page}.png"
                title = f"{short}: one model, {len(by_subset)} sets of sensors"
                draw_overview(path, by_subset, modalities, {}, title)
                yield path
