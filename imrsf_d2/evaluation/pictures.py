"""Pictures of what a model saw, what was there, and what it found, for each subset of the sensors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import nn

from imrsf_d2.atomic import write_atomically
from imrsf_d2.data.loaders import build_test_loader
from imrsf_d2.evaluation.masks import annotation_to_rle, rle_to_mask
from imrsf_d2.modalities import Modality, ModalitySet, subset_title

__all__ = ["TilePrediction", "choose_tiles", "draw_overview", "draw_subset", "predict_tiles"]

TRUTH_COLOUR = "#00c853"
PREDICTION_COLOUR = "#ff9100"
#: Instances below this score are not drawn.
SCORE_THRESHOLD = 0.5
#: Units of measurements by the usual names of their sensors.
_UNITS = {"dsm": "m", "ndsm": "m", "dem": "m", "height": "m"}


@dataclass(frozen=True)
class TilePrediction:
    """One tile of a test set as the model saw it, and what it predicted.

    Args:
        name: the tile's file name without its ending.
        image: [C + M, H, W] float32, as in `modalities`' layout.
        truth, masks: bool masks [h, w] of the objects there are, and of those found with a score above the threshold.
        scores: of `masks`.
    """

    name: str
    image: np.ndarray
    truth: list[np.ndarray]
    masks: list[np.ndarray]
    scores: list[float]


def choose_tiles(samples: Sequence[dict], number: int) -> list[int]:
    """Positions of tiles from the middle to the crowded end of a data set, by their number of objects.

    Args:
        samples: Detectron2 dataset dicts.
        number: how many; fewer if there are fewer samples.
    """
    order = sorted(range(len(samples)), key=lambda i: (len(samples[i].get("annotations", ())), i))
    places = np.linspace(0.5, 0.95, num=number) if number > 1 else [0.75]
    return list(dict.fromkeys(order[int(round(place * (len(order) - 1)))] for place in places))


def predict_tiles(cfg: CfgNode, model: nn.Module, dataset_name: str, positions: Sequence[int],
                  subset: Sequence[str]) -> list[TilePrediction]:
    """Run the model on some tiles with a subset of the modalities.

    Args:
        positions: of the tiles in the data set.
        subset: names of the modalities to keep.
    """
    samples = DatasetCatalog.get(dataset_name)
    tiles = build_test_loader(cfg, dataset_name, modalities=subset).dataset
    was_training = model.training
    model.eval()
    predictions = []
    for position in positions:
        sample, tile = samples[position], tiles[position]
        with torch.no_grad():
            instances = model([tile])[0]["instances"].to("cpu")
        kept = instances[instances.scores >= SCORE_THRESHOLD]
        truth = [rle_to_mask(annotation_to_rle(a, sample["height"], sample["width"])) for a in sample["annotations"]]
        predictions.append(TilePrediction(os.path.splitext(os.path.basename(tile["file_name"]))[0],
                                          tile["image"].numpy(), truth, list(kept.pred_masks.numpy() > 0.5),
                                          kept.scores.tolist()))
    model.train(was_training)
    return predictions


def draw_subset(path: str | os.PathLike, tiles: Sequence[TilePrediction], modalities: ModalitySet,
                subset: Sequence[str], title: str) -> None:
    """Write a PNG with one row per tile: the inputs, the ground truth, the prediction. Absent sensors are hatched."""
    figure, axes = _new_grid(len(tiles), len(modalities) + 2)
    for row, tile in zip(axes, tiles):
        for axis, modality in zip(row, modalities):
            _draw_modality(figure, axis, tile, modalities, modality, present=modality.name in subset)
        for axis, masks, colour in zip(row[-2:], (tile.truth, tile.masks), (TRUTH_COLOUR, PREDICTION_COLOUR)):
            _draw_backdrop(axis, tile, modalities, subset)
            _outline(axis, masks, colour)
        row[-2].set_xlabel(f"{len(tile.truth)} objects", fontsize=8)
        row[-1].set_xlabel(f"{len(tile.masks)} with score ≥ {SCORE_THRESHOLD:g}", fontsize=8)
        row[0].set_ylabel(tile.name, fontsize=7)
    for axis, text in zip(axes[0], [*(_unit_title(m) for m in modalities), "ground truth", "prediction"]):
        axis.set_title(text, fontsize=10)
    figure.suptitle(title, fontsize=12)
    _save(figure, path)


def draw_overview(path: str | os.PathLike, by_subset: dict[tuple[str, ...], Sequence[TilePrediction]],
                  modalities: ModalitySet, captions: dict[tuple[str, ...], str], title: str) -> None:
    """Write a PNG with one row per tile: the ground truth, then what was found with each subset of the sensors.

    Args:
        by_subset: the same tiles, predicted with each subset; the first subset's inputs are the backdrop of all.
        captions: a line below the name of each subset, e.g. its score.
    """
    subsets = list(by_subset)
    rows = list(zip(*by_subset.values()))
    figure, axes = _new_grid(len(rows), len(subsets) + 1)
    for row, tiles in zip(axes, rows):
        for axis in row:
            _draw_backdrop(axis, tiles[0], modalities, subsets[0])
        _outline(row[0], tiles[0].truth, TRUTH_COLOUR)
        for axis, tile in zip(row[1:], tiles):
            _outline(axis, tile.masks, PREDICTION_COLOUR)
    axes[0][0].set_title("ground truth\n", fontsize=10)
    for axis, subset in zip(axes[0][1:], subsets):
        axis.set_title(f"{subset_title(subset)}\n{captions.get(subset, '')}", fontsize=10)
    figure.suptitle(title, fontsize=12)
    _save(figure, path)


def _new_grid(rows: int, columns: int):
    # Figure without pyplot: no display, no global state, safe in a library.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * columns, 2.25 * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    return figure, axes


def _save(figure, path: str | os.PathLike) -> None:
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))


def _unit_title(modality: Modality) -> str:
    return modality.name.upper() + (" (dB)" if modality.transform == "db" else "")


def _extent(tile: TilePrediction) -> tuple[float, float, float, float]:
    """Where the image lies in the pixel grid of the masks, which may be of another size."""
    height, width = (tile.truth + tile.masks + [tile.image[0]])[0].shape
    return -0.5, width - 0.5, height - 0.5, -0.5


def _bands(tile: TilePrediction, modalities: ModalitySet, modality: Modality) -> np.ma.MaskedArray:
    """The bands [H, W, C] of a modality, masked where they hold no data."""
    bands = np.moveaxis(tile.image[modalities.bands(modality.name)], 0, -1)
    invalid = tile.image[modalities.validity(modality.name)] < 0.5
    return np.ma.array(bands, mask=np.broadcast_to(invalid[..., None], bands.shape))


def _as_colour(bands: np.ma.MaskedArray) -> np.ndarray:
    """Three bands as [H, W, 3] in 0..1: 8-bit values as they are, others stretched; black where there is no data."""
    colour = bands[..., :3].astype(float)
    if colour.count() and colour.min() >= 0 and 1 < colour.max() <= 255:
        colour = colour / 255.0
    elif colour.count():
        low, high = np.percentile(colour.compressed(), [2, 98])
        colour = (colour - low) / max(high - low, 1e-6)
    return np.clip(colour.filled(0.0), 0, 1)


def _contrast(band: np.ma.MaskedArray) -> tuple[float, float]:
    """The values to show as darkest and brightest: all but the outermost hundredth at either end."""
    return tuple(np.percentile(band.compressed(), [1, 99])) if band.count() else (0.0, 1.0)


def _draw_modality(figure, axis, tile: TilePrediction, modalities: ModalitySet, modality: Modality,
                   present: bool) -> None:
    if not present:
        axis.set_facecolor("#eeeeee")
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axis.fill_between([0, 1], 0, 1, facecolor="none", edgecolor="#999999", hatch="//", linewidth=0)
        axis.text(0.5, 0.5, "absent", ha="center", va="center", fontsize=10,
                  bbox={"facecolor": "white", "edgecolor": "none"})
        return
    bands = _bands(tile, modalities, modality)
    if modality.channels >= 3:
        axis.imshow(_as_colour(bands), extent=_extent(tile))
        return
    grey = modality.transform == "db"
    band = bands[..., 0]
    low, high = _contrast(band)
    limits = {"vmin": low, "vmax": max(high, low + 1e-6)}
    if modality.categorical:
        limits = {"vmin": -0.5, "vmax": modality.classes - 0.5}
    shown = axis.imshow(band, extent=_extent(tile), interpolation="nearest", **limits,
                        cmap="gray" if grey else "tab20" if modality.categorical else "viridis")
    bar = figure.colorbar(shown, ax=axis, fraction=0.045, pad=0.02)
    bar.ax.tick_params(labelsize=6)
    bar.set_label("dB" if grey else "class" if modality.categorical else _UNITS.get(modality.name, ""), fontsize=7)


def _draw_backdrop(axis, tile: TilePrediction, modalities: ModalitySet, subset: Sequence[str]) -> None:
    """The most readable sensor of the subset, dimmed so that outlines stand out: colour first, then heights."""
    candidates = [modalities[name] for name in subset]
    modality = min(candidates, key=lambda m: (m.channels < 3, m.transform == "db", m.categorical))
    bands = _bands(tile, modalities, modality)
    if modality.channels >= 3:
        colour = _as_colour(bands)
    else:
        band = bands[..., 0]
        low, high = _contrast(band)
        grey = np.clip((band.filled(low) - low) / max(high - low, 1e-6), 0, 1)
        colour = np.repeat(grey[..., None], 3, axis=-1)
    axis.imshow(0.15 + 0.7 * colour, extent=_extent(tile))


def _outline(axis, masks: Sequence[np.ndarray], colour: str) -> None:
    for mask in masks:
        if mask.any():
            # A frame of background closes the outlines of objects at the border.
            framed = np.pad(mask, 1).astype(float)
            height, width = framed.shape
            axis.contour(np.arange(width) - 1, np.arange(height) - 1, framed, levels=[0.5], colors=colour,
                         linewidths=1.2)
    if len(masks):
        height, width = masks[0].shape
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
