"""What a finished sweep leaves in its folder: the report, the same as data, charts, a page; and importance maps if wanted."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode
from torch import nn

from imrsf_d2.compat.machine import describe_machine, describe_versions
from imrsf_d2.data.loaders import read_test_samples
from imrsf_d2.evaluation.importance import importance_maps, write_importance
from imrsf_d2.evaluation.per_image import Images
from imrsf_d2.evaluation.summary import Summary
from imrsf_d2.evaluation.sweep import RESULTS_FILE
from imrsf_d2.evaluation.sweep_data import sweep_csv, sweep_json
from imrsf_d2.evaluation.sweep_report import sweep_markdown
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.command_line import this_command
from imrsf_d2.visualization import choose_tiles
from imrsf_d2.visualization.importance import draw_importance
from imrsf_d2.visualization.pages.sweep_page import sweep_page
from imrsf_d2.visualization.sweep_charts import draw_sweep_charts

__all__ = ["PAGE", "REPORT", "write_importance_maps", "write_sweep"]

logger = logging.getLogger(__name__)

#: Names in the folder of a sweep; RESULTS_FILE is one more.
REPORT, SHEET, PAGE, IMPORTANCE = "modalities.md", "modalities.csv", "report.html", "importance"


def write_sweep(
    folder: str | os.PathLike,
    cfg: CfgNode,
    dataset: str,
    rows: Sequence[Mapping],
    summary: Summary,
    images: Mapping[tuple[str, ...], Images],
    tiles: Mapping,
    processes: int,
    importance: bool = False,
) -> Path:
    """Write the report, JSON, CSV, charts and page.

    Args:
        folder: where they go.
        cfg: of the evaluated model.
        dataset: name of the evaluated dataset.
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
        images: what each image contributes to each row's main score.
        tiles: of the page, as returned by `encode_tiles`.
        processes: how many evaluated the subsets.
        importance: include the importance maps in `folder` in the report.

    Returns:
        The path of the report.
    """
    folder = Path(folder)
    figures = draw_sweep_charts(folder, rows, summary, dataset)
    if importance:
        figures |= {path.stem: f"{IMPORTANCE}/{path.name}" for path in sorted((folder / IMPORTANCE).glob("*.png"))}
    seconds = sum(row["seconds"] for row in rows)
    origin = [
        f"Command: `{this_command()}`",
        f"Weights: {cfg.MODEL.WEIGHTS}",
        f"Data: {dataset}, {summary.num_images} images",
        f"Machine: {describe_machine()}; device {cfg.MODEL.DEVICE}, {processes} process{'es' * (processes != 1)}; "
        f"{seconds:.0f} s for the subsets",
        f"Versions: {describe_versions()}",
    ]
    write_text(folder / RESULTS_FILE, sweep_json(dataset, cfg.MODEL.WEIGHTS, rows, summary))
    write_text(folder / SHEET, sweep_csv(rows, summary.names, summary.covered))
    every = this_command(without="--subsets")
    write_text(folder / PAGE, sweep_page(rows, summary, images, tiles, dataset, every, origin))
    files = [
        f"All scores, in percent: [{RESULTS_FILE}]({RESULTS_FILE}) and [{SHEET}]({SHEET})",
        f"A page to switch sensors on and off: [{PAGE}]({PAGE})",
    ]
    write_text(folder / REPORT, sweep_markdown(rows, summary, figures, [*origin, *files]))
    return folder / REPORT


def write_importance_maps(folder: str | os.PathLike, cfg: CfgNode, model: nn.Module, dataset: str, number: int) -> None:
    """Write importance maps of some images of a dataset, as GeoTIFFs and as pictures.

    Args:
        folder: of the sweep; they go below it.
        cfg: the config the model was built from.
        model: with its weights loaded.
        dataset: a registered name.
        number: of images.

    Raises:
        InputError: if the model has no Bi-LSTM attention.
    """
    folder = Path(folder) / IMPORTANCE
    samples = read_test_samples(cfg, dataset)
    chosen = [samples[position] for position in choose_tiles(samples, number)]
    for done, item in enumerate(importance_maps(cfg, model, chosen), start=1):
        write_importance(folder, item)
        draw_importance(folder / f"{item.name}.png", item, ModalitySet.from_config(cfg))
        logger.info("Importance maps: %d of %d images", done, len(chosen))
