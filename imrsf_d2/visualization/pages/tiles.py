"""The tiles of a sweep's page: chosen, predicted with every subset, encoded, and kept beside the scores."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import nn

from imrsf_d2.evaluation.record import MARKER
from imrsf_d2.modalities import ModalitySet, subset_label
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.file_state import file_digest
from imrsf_d2.visualization.pages.answers import ANSWERS, Answers
from imrsf_d2.visualization.pages.encoding import gray_url, picture_url, step_of
from imrsf_d2.visualization.pages.predicting import Listened, PredictedTile, predict_with_subsets
from imrsf_d2.visualization.tiles import choose_tiles, object_counts
from imrsf_d2.visualization.views import most_readable, view_modality

__all__ = ["MOST_TILES", "encode_tiles", "keep_tiles", "kept_tiles", "no_tiles"]

logger = logging.getLogger(__name__)

FILE = "report_tiles.json"
#: Of what the file holds; another one is made anew.
VERSION = 3
MOST_TILES = 24
#: Characters of all tiles together: a page with more would be slow to open.
MOST_CHARACTERS = 11_000_000
#: Stands for an absent sensor in an image of weights, whose other values are 0 to 254.
ABSENT = 255


def keep_tiles(
    folder: str | os.PathLike,
    cfg: CfgNode,
    model: nn.Module,
    dataset: str,
    samples: Sequence[dict],
    subsets: Sequence,
    most: int,
) -> None:
    """Predict and encode the tiles of a sweep's page, and keep them in its folder; see `encode_tiles`."""
    tiles = encode_tiles(cfg, model, dataset, samples, subsets, most)
    write_text(Path(folder) / FILE, json.dumps({**tiles, "record": _record(folder), "most": most}, separators=(",", ":")))


def kept_tiles(folder: str | os.PathLike, subsets: Sequence, most: int) -> dict | None:
    """What `keep_tiles` left for the sweep in this folder; None if that is not there, or not for all of these subsets."""
    try:
        kept = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
        fits = (kept["version"], kept["record"], kept["most"]) == (VERSION, _record(folder), most)
        return kept if fits and {subset_label(subset) for subset in subsets} <= set(kept["subsets"]) else None
    except (OSError, ValueError, KeyError, TypeError):  # none, or of a version that is not known
        return None


def encode_tiles(
    cfg: CfgNode, model: nn.Module, dataset: str, samples: Sequence[dict], subsets: Sequence, most: int = MOST_TILES
) -> dict:
    """Predict some tiles of a dataset with every subset, and encode them for a page.

    The tiles are chosen before anything is predicted (`choose_tiles`). Work and memory are bounded: one tile at a time, at
    most `most`, and fewer if they would make the page too large.

    Args:
        cfg: the config the model was built from.
        model: with its weights loaded.
        dataset: a registered name.
        samples: its dataset dicts.
        subsets: names of modalities.
        most: number of tiles.

    Returns:
        A mapping that can be written as JSON; without tiles if the dataset's task is not one of `ANSWERS`.
    """
    metadata = MetadataCatalog.get(dataset)
    subsets = [tuple(subset) for subset in subsets]
    answers = ANSWERS.get(metadata.get("evaluator_type"), lambda _: None)(metadata)
    head = {"version": VERSION, "subsets": [subset_label(subset) for subset in subsets]}
    if answers is None or not most:
        return {**head, **no_tiles(len(samples))}
    positions = choose_tiles(samples, most)
    modalities = ModalitySet.from_config(cfg)
    logger.info("Predicting %d tiles from %d subsets for the page", len(positions), len(subsets))
    tiles: list[dict] = []
    characters = 0
    for tile in predict_with_subsets(cfg, model, [samples[position] for position in positions], subsets):
        encoded = _encode(tile, modalities, answers)
        characters += len(json.dumps(encoded))
        if characters > MOST_CHARACTERS:
            break
        tiles.append(encoded)
    return {
        **head,
        "of": len(samples),
        "too_large": len(positions) - len(tiles),
        "kind": answers.kind,
        "evenly": not any(object_counts(samples)),
        "classes": answers.classes,
        "colors": answers.colors,
        "tiles": tiles,
    }


def no_tiles(samples: int) -> dict:
    """What `encode_tiles` returns if there is nothing to show of so many samples."""
    return {"of": samples, "too_large": 0, "kind": None, "evenly": True, "classes": [], "colors": [], "tiles": []}


def _encode(tile: PredictedTile, modalities: ModalitySet, answers: Answers) -> dict:
    height, width = tile.image.shape[1:]
    step = step_of(height, width)
    views = {name: view_modality(tile.image, modalities, name, like=answers.palette) for name in modalities.names}
    return {
        "id": tile.sample["image_id"],
        "name": tile.name,
        "height": len(range(step // 2, height, step)),
        "width": len(range(step // 2, width, step)),
        "px": [height, width],
        "sensors": {
            name: view and picture_url(view.colors, view.valid, step, bool(view.key)) for name, view in views.items()
        },
        "backdrops": most_readable({name: view for name, view in views.items() if view is not None}, modalities),
        "truth": answers.of_dataset(tile.sample, step),
        "predictions": {
            subset_label(subset): output and answers.of_output(output, tile.sample, step)
            for subset, output in tile.outputs.items()
        },
        "listened": {
            subset_label(subset): _weights(listened, subset, modalities, step)
            for subset, listened in tile.listened.items()
            if len(subset) > 1
        },
    }


def _weights(listened: Listened, subset: Sequence[str], modalities: ModalitySet, step: int) -> dict:
    """The weights of a subset's sensors as one gray image, the sensors below one another."""
    beta = listened.beta[[modalities.index_of(name) for name in subset]]
    known = ~np.isnan(beta)
    values = np.where(known, np.round(254 * np.where(known, beta, 0)), ABSENT)
    return {
        "png": gray_url(values.reshape(-1, values.shape[-1])),
        "rows": values.shape[1],
        "patch": listened.patch_px / step,
    }


def _record(folder: str | os.PathLike) -> str:
    """What the scores in this folder depend on, as a digest."""
    return file_digest(Path(folder) / MARKER)
