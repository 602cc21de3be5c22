"""The demo's page to play with: the scores of every subset, with intervals, and some tiles."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from torch import nn

from imrsf_d2.compat.machine import describe_machine, describe_versions
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.summary import summarize
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.command_line import this_command
from imrsf_d2.visualization.pages.sweep_page import sweep_page
from imrsf_d2.visualization.pages.tiles import encode_tiles

__all__ = ["write_demo_page"]

RESAMPLES = 200


def write_demo_page(
    path: str | os.PathLike, cfg: CfgNode, model: nn.Module, rows: Sequence[Mapping], record: SweepRecord
) -> None:
    """Write the page of a sweep over all subsets.

    Args:
        path: of the page.
        cfg: the config the model was built from.
        model: with its weights loaded.
        rows: as returned by `sweep_subsets`.
        record: of that sweep.
    """
    (dataset,) = cfg.DATASETS.TEST
    subsets = [tuple(row["modalities"]) for row in rows]
    images = {subset: record.images(subset) for subset in subsets}
    classes = MetadataCatalog.get(dataset).get("stuff_classes", ())
    summary = summarize(ModalitySet.from_config(cfg).names, rows, images, classes, RESAMPLES)
    tiles = encode_tiles(cfg, model, dataset, DatasetCatalog.get(dataset), subsets)
    origin = [
        f"Command: {this_command()}",
        "Data: synthetic; do not compare the scores with published ones",
        f"Machine: {describe_machine()}; device {cfg.MODEL.DEVICE}",
        f"Versions: {describe_versions()}",
    ]
    write_text(path, sweep_page(rows, summary, images, tiles, dataset, this_command(), origin))
