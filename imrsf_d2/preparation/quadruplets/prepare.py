"""Scenes and land cover of whole cities become tiles in the layout of `imrsf_d2.data.datasets.quadruplets`.

Written to the output folder, besides that layout:
    summary.md         tiles, sensors and classes of each city
    prepared.json      the parameters, whether everything is there, and which sensors were resampled
    .prepared/         the list of each city's files, and a record per tile, from which an interrupted run continues
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from imrsf_d2.data.class_tables import read_class_table
from imrsf_d2.data.datasets.land_cover import DEFAULT_TABLE
from imrsf_d2.data.quadruplet_layout import LABELS, NODATA, SENSORS, SPLITS, split_file
from imrsf_d2.geo.vectors import CODE_COLUMN
from imrsf_d2.preparation.files import MARKER, RECORDS, SUMMARY
from imrsf_d2.preparation.quadruplets.exports import CityExport, find_exports
from imrsf_d2.preparation.quadruplets.plan import Planner
from imrsf_d2.preparation.quadruplets.sensors import S1_UNITS
from imrsf_d2.preparation.quadruplets.splits import choose_val_cities, unseen_classes
from imrsf_d2.preparation.quadruplets.summary import city_warnings, count_origins, quadruplets_summary
from imrsf_d2.preparation.quadruplets.tiles import TileWriter
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.claim import check_outside, claim_folder
from imrsf_d2.utils.errors import InputError, OccupiedError
from imrsf_d2.utils.locks import sole_user
from imrsf_d2.utils.parallel import run_jobs

__all__ = ["prepare_quadruplets"]

# Raise this when the same input and parameters no longer give the same files.
VERSION = 3
#: Names below the output.
OWNED = (*SENSORS, LABELS, "splits", SUMMARY, RECORDS)


def prepare_quadruplets(
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    tile_size: int = 256,
    resolution: float = 10.0,
    val_cities: Collection[str] | None = None,
    merge_table: str | os.PathLike = DEFAULT_TABLE,
    s1_unit: str = "linear",
    code_column: str = CODE_COLUMN,
    layer: str | None = None,
    min_labeled: float = 0.05,
    num_workers: int = 0,
    progress: bool = False,
) -> str:
    """Cut the scenes and the land cover of all cities into tiles.

    An interrupted call can be repeated, and continues. Cities may be added to `source` later, but must not be changed.

    Args:
        source: the folder that holds a folder for each city (see `find_exports`); only read.
        output: the folder of the dataset, outside `source`. The lists of tiles are written last.
        tile_size: side of a tile, px.
        resolution: side of a pixel, m.
        val_cities: the cities to hold out for validation; None chooses them (see `choose_val_cities`).
        merge_table: see `read_class_table`.
        s1_unit: what Sentinel-1 scenes hold, "linear" power or "db".
        code_column, layer: column and layer of the class codes (see `find_layer`).
        min_labeled: least share of a tile's pixels that must have a class.
        num_workers: processes; 0 = all cores.
        progress: show bars on the terminal.

    Returns:
        The text of `summary.md`.

    Raises:
        FileNotFoundError: if there is nothing to read.
        FileExistsError: if `output` holds data made with other parameters, from other files, or by another program, or another
            process writes to it.
        ValueError: if a parameter or file is not as expected, or no tile is left.
    """
    source, output = Path(source).expanduser(), Path(output).expanduser()
    _check_parameters(tile_size, resolution, s1_unit, min_labeled)
    table = read_class_table(merge_table)
    cities = find_exports(source)
    _check_val_cities(val_cities, [city.name for city in cities], source)
    planner = Planner(tile_size, resolution, s1_unit, table, code_column, layer)
    plans = run_jobs(planner, cities, num_workers, progress, unit="city")

    # Claimed only now: mistakes that are usually corrected in a second try, as in the name of a column, have been found.
    parameters = {
        "layout": "quadruplets",
        "version": VERSION,
        "tile_size": tile_size,
        "resolution": resolution,
        "s1_unit": s1_unit,
        "code_column": code_column,
        "layer": layer,
        "min_labeled": min_labeled,
        "classes": list(table.classes),
        "merge_table_sha256": _digest(table.codes),
    }
    check_outside(output, source)
    with sole_user(output):
        claimed = claim_folder(output, MARKER, parameters, OWNED)
        _claim_cities(output, cities)
        claimed.mark(complete=False)
        jobs = [job for plan in plans for job in plan.jobs]
        records = iter(run_jobs(TileWriter(output, NODATA, min_labeled), jobs, num_workers, progress))
        made = {plan.city: {job.name: next(records) for job in plan.jobs} for plan in plans}
        warnings = [
            warning
            for city, plan in zip(cities, plans, strict=True)
            for warning in city_warnings(city, plan, made[city.name].values())
        ]

        tiles = {city: [name for name, record in of_city.items() if not record.skipped] for city, of_city in made.items()}
        if not any(tiles.values()):
            # Nothing was written, so there is no reason to refuse other parameters next time.
            shutil.rmtree(output / RECORDS)
            claimed.release()
            examples = sorted({record.skipped for of_city in made.values() for record in of_city.values()})[:3]
            raise InputError(
                " ".join(
                    [
                        f"none of {len(jobs)} tiles is left ({'; '.join(examples)}). Do the scenes and labels of a city show the "
                        f"same place, and is --min-labeled {min_labeled:g} low enough?",
                        *warnings,
                    ]
                )
            )
        held_out = choose_val_cities({city: len(names) for city, names in tiles.items() if names}, val_cities)
        pixels = {
            city: sum((Counter(record.pixels) for record in of_city.values() if not record.skipped), Counter())
            for city, of_city in made.items()
            if tiles[city]
        }
        warnings += unseen_classes(pixels, held_out, table.classes)
        splits = {city: "val" if city in held_out else "train" for city in tiles}
        summary = quadruplets_summary(plans, made, splits, table.classes, warnings)
        write_text(output / SUMMARY, summary)
        for split in SPLITS:
            path = split_file(output, split)
            listed = sorted(name for city, names in tiles.items() if splits[city] == split for name in names)
            if listed:
                write_text(path, "\n".join(listed) + "\n")
            else:
                path.unlink(missing_ok=True)  # readers refuse a list without tiles
        claimed.mark(
            complete=True, values=count_origins([record for of_city in made.values() for record in of_city.values()])
        )
        return summary


def _digest(content: Mapping) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()


def _check_parameters(tile_size: int, resolution: float, s1_unit: str, min_labeled: float) -> None:
    if tile_size < 1:
        raise InputError(f"the tile size is {tile_size} px, expected 1 or more.")
    if not 0 < resolution < float("inf"):
        raise InputError(f"the resolution is {resolution} m, expected more than 0.")
    if not 0 <= min_labeled <= 1:
        raise InputError(f"the least share of labeled pixels is {min_labeled}, expected 0 to 1.")
    if s1_unit not in S1_UNITS:
        raise InputError(f"the unit of Sentinel-1 is {s1_unit!r}, expected one of {S1_UNITS}.")


def _check_val_cities(val_cities: Collection[str] | None, cities: Sequence[str], source: Path) -> None:
    if val_cities is None:
        choose_val_cities(dict.fromkeys(cities, 1))  # a single city is an error before the work, not after it
    elif unknown := sorted(set(val_cities) - set(cities)):
        raise InputError(f"--val-cities names {unknown[0]!r}, which is not in {source}: {', '.join(cities)}.")


def _claim_cities(output: Path, cities: Sequence[CityExport]) -> None:
    """Check that the files of cities prepared before have not changed, and record the files of all cities."""
    path = output / RECORDS / "cities.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    now = {city.name: city.listing for city in cities}
    remedy = "Choose another output, or delete that folder; cities can only be added."
    for city, listing in known.items():
        if city not in now:
            raise OccupiedError(f"{output} holds tiles of {city}, which is no longer in the input. {remedy}")
        changed = sorted(file for file in {*listing, *now[city]} if listing.get(file) != now[city].get(file))
        if changed:
            raise OccupiedError(
                f"{output} holds tiles of {city} made from other files: {', '.join(changed[:5])}"
                f"{' ...' if len(changed) > 5 else ''} added, removed or changed. {remedy}"
            )
    write_text(path, json.dumps(now, indent=1, sort_keys=True) + "\n")
