"""DFC2023 as downloaded becomes the same layout with smaller tiles, labels included.

Written to the output folder:
    track2/train/{rgb,sar,dsm}/{SV|GF2}_{City}_{lat}_{lon}_{row}_{column}.tif     row, column of the crop, from 0
    track2/buildings_only_train.json        written when all tiles are there
    summary.md        tiles and footprints per city, and what became of them
    prepared.json     the parameters, and whether everything is there
    .prepared/        a record per tile, from which an interrupted run continues
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.data.datasets.dfc2023 import CLASSES, FOLDERS, LABELS, label_file, load_dfc2023
from imrsf_d2.data.masks import MIN_INSTANCE_PIXELS
from imrsf_d2.preparation.dfc2023.layout import raster_names, track_folder
from imrsf_d2.preparation.dfc2023.summary import dfc2023_summary
from imrsf_d2.preparation.dfc2023.tiles import Cutter, SourceTile
from imrsf_d2.preparation.files import MARKER, RECORDS, SUMMARY
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.claim import check_outside, claim_folder
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.file_state import file_digest
from imrsf_d2.utils.locks import sole_user
from imrsf_d2.utils.parallel import run_jobs

__all__ = ["Outcome", "prepare_dfc2023"]

# Raise this when the same input and parameters no longer give the same files.
VERSION = 1
#: Names below the output.
OWNED = ("track2/train", f"track2/{LABELS[0]}", SUMMARY, RECORDS)
#: Problems listed in an error message; --check lists all.
MAX_NAMED = 10


@dataclass(frozen=True)
class Outcome:
    """What `prepare_dfc2023` did.

    Attributes:
        cut: number of tiles cut in this run; earlier runs have cut the others.
        tiles: number of labeled tiles.
        summary: the text of `summary.md`.
    """

    cut: int
    tiles: int
    summary: str


def prepare_dfc2023(
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    tile_size: int | None = 256,
    num_workers: int = 0,
    progress: bool = False,
) -> Outcome:
    """Cut the tiles of DFC2023 track 2 and their labels; `load_dfc2023` reads the result like the original.

    An interrupted call can be repeated, and continues. The labels are written only when every tile is there.

    Args:
        source: the folder that holds `track2`, as downloaded.
        output: the folder to write to; must lie outside `source`.
        tile_size: side of a crop, px, a divisor of the sides of all tiles; None keeps them whole.
        num_workers: processes; 0 = all cores.
        progress: show a bar on the terminal.

    Raises:
        FileNotFoundError: if `source` lacks a folder or the labels, or a labeled tile has no raster.
        FileExistsError: if `output` holds other data, or another process writes to it.
        ValueError: if the labels are unusable, `tile_size` does not divide a tile, no tile holds data, or tiles cannot
            be cut; these are listed after all others have been cut.
    """
    source, output = Path(source).expanduser(), Path(output).expanduser()
    labels = label_file(track_folder(source))
    samples = load_dfc2023(source, "all")
    tiles = [SourceTile.of(sample) for sample in samples]
    _check_names(tiles, labels)
    _check_sizes(tiles, tile_size)
    parameters = {
        "layout": "dfc2023",
        "version": VERSION,
        "tile_size": tile_size or "keep",
        "min_pixels": MIN_INSTANCE_PIXELS,
        "labels_sha256": file_digest(labels),
    }
    check_outside(output, source)
    with sole_user(output):
        claimed = claim_folder(output, MARKER, parameters, OWNED)

        cutter = Cutter(output, tile_size, MIN_INSTANCE_PIXELS)
        earlier = [cutter.done(tile) for tile in tiles]
        pending = [tile for tile, record in zip(tiles, earlier) if record is None]
        label_path = output / "track2" / LABELS[0]
        if pending:
            if claimed.complete:
                claimed.mark(complete=False)
            label_path.unlink(missing_ok=True)
            for modality in FOLDERS:
                (label_path.parent / "train" / modality).mkdir(parents=True, exist_ok=True)
        cut_now = iter(run_jobs(cutter.cut, pending, num_workers, progress) if pending else ())
        records = [next(cut_now) if record is None else record for record in earlier]
        _check_problems(records, source)
        if not any(record["crops"] for record in records):
            raise InputError(
                f"no crop is left of {len(records)} tiles: no sensor has a valid pixel in any of them. "
                f"`python datasets/prepare_dfc2023.py --input {source} --check` lists what is wrong."
            )
        names = {name for names in raster_names(source / "track2").values() for name in names}
        summary = dfc2023_summary(
            [sample["city"] for sample in samples],
            records,
            tile_size=tile_size,
            min_pixels=MIN_INSTANCE_PIXELS,
            unlabeled=len(names - {tile.name for tile in tiles}),
        )
        if pending or not claimed.complete or not label_path.is_file():
            write_text(label_path, json.dumps(_coco(records), separators=(",", ":")) + "\n")
        write_text(output / SUMMARY, summary)
        claimed.mark(complete=True)
        return Outcome(len(pending), len(samples), summary)


def _check_names(tiles: Sequence[SourceTile], labels: Path) -> None:
    repeated = [name for name, count in Counter(tile.name for tile in tiles).items() if count > 1]
    if repeated:
        raise InputError(
            f"{labels} has several images of the same file name, e.g. {repeated[0]!r}, expected one for each tile."
        )


def _check_sizes(tiles: Sequence[SourceTile], tile_size: int | None) -> None:
    if tile_size is None:
        return
    wrong = [tile for tile in tiles if tile_size < 1 or tile.height % tile_size or tile.width % tile_size]
    if wrong:
        raise InputError(
            f"the tile size {tile_size} does not divide {len(wrong)} of {len(tiles)} tiles, e.g. "
            f"{wrong[0].name} of {wrong[0].width} x {wrong[0].height} px. Choose a divisor, or 'keep' for "
            "whole tiles."
        )


def _check_problems(records: Sequence[dict], source: Path) -> None:
    problems = [record["problem"] for record in records if "problem" in record]
    if problems:
        more = [f"... and {len(problems) - MAX_NAMED} more"] if len(problems) > MAX_NAMED else []
        raise InputError(
            "\n".join(
                [
                    f"{len(problems)} of {len(records)} tiles cannot be cut. The others are done; the labels are not written yet.",
                    *(f"  {problem}" for problem in problems[:MAX_NAMED]),
                    *more,
                    "Replace these files, or delete them if the tile has other sensors, and run the same command again. "
                    f"`python datasets/prepare_dfc2023.py --input {source} --check` lists everything that is wrong.",
                ]
            )
        )


def _coco(records: Sequence[dict]) -> dict:
    categories = list(CLASSES)
    images: list[dict] = []
    annotations: list[dict] = []
    for crop in (crop for record in records for crop in record["crops"]):
        images.append(
            {"id": len(images) + 1, "file_name": crop["file_name"], "height": crop["height"], "width": crop["width"]}
        )
        for annotation in crop["annotations"]:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    **annotation,
                    "category_id": categories[annotation["category_id"]],
                }
            )
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": category, "name": name} for category, name in CLASSES.items()],
    }
