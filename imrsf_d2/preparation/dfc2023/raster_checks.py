"""Checks of the rasters of one tile, which read every pixel and write nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from rasterio.crs import CRS

from imrsf_d2.data.decibel_checks import DECIBEL_HINT, share_of_decibels
from imrsf_d2.geo.gdal import RasterError, opened
from imrsf_d2.geo.grids import TOLERANCE_PX, Grid
from imrsf_d2.geo.rasters import read_raster, size_text
from imrsf_d2.geo.stored import kind_of
from imrsf_d2.geo.validity import value_bands
from imrsf_d2.preparation.dfc2023.bands import BANDS, DTYPE_KINDS

__all__ = ["Problem", "check_tile"]


@dataclass(frozen=True)
class Problem:
    """One line of the list: which file, what was found, what was expected."""

    file: str
    problem: str
    expected: str


def check_tile(item: tuple[Mapping[str, str], tuple[int, int] | None]) -> list[Problem]:
    """Check all rasters of a tile.

    Args:
        item: path of each modality that the tile has; and (height, width) in the labels, None if it has none.
    """
    paths, labeled = item
    problems: list[Problem] = []
    grids = {}
    for modality, path in paths.items():
        with _listed(path, problems):
            grid = _check_file(path, modality, problems)
            if grid is not None:
                grids[modality] = grid
    _check_sizes(paths, grids, labeled, problems)
    with _listed(next(iter(paths.values()), ""), problems):
        _check_places(paths, grids, problems)
    return problems


@contextlib.contextmanager
def _listed(path: str, problems: list[Problem]) -> Iterator[None]:
    """An error that nobody foresaw becomes one more problem in the list, because a bad file must not end all other checks."""
    try:
        yield
    except Exception as error:
        problems.append(Problem(path, f"cannot be checked: {type(error).__name__}: {error}", "a plain GeoTIFF"))


def _check_file(path: str, name: str, problems: list[Problem]) -> Grid | None:
    """Check the bands, the data type, and every pixel of a file. Its grid; None if it cannot even be opened."""
    modality = BANDS[name]
    try:
        with opened(path, name) as file:
            grid, dtypes, count = Grid.of(file), sorted(set(file.dtypes)), file.count
            scaled = set(zip(file.scales, file.offsets)) != {(1.0, 0.0)}
            values = value_bands(file, modality.channels)
    except RasterError as error:
        found = "empty file" if os.path.isfile(path) and os.path.getsize(path) == 0 else f"unreadable: {error.reason}"
        problems.append(Problem(path, found, "a GeoTIFF"))
        return None
    if len(values) != modality.channels:
        problems.append(Problem(path, f"{count} bands", f"{modality.channels} for {name}"))
        modality = dataclasses.replace(modality, channels=count, mean=(), std=())
    kind, title = DTYPE_KINDS[name]
    # Integers with a scale are as good: decimeters, say.
    if any(kind_of(dtype) != kind for dtype in dtypes) and not (
        scaled and kind == "f" and set(map(kind_of, dtypes)) <= set("iu")
    ):
        problems.append(Problem(path, f"data type {', '.join(dtypes)}", f"{title} for {name}"))
    try:
        valid = read_raster(path, modality)[1]
        if modality.transform == "db" and valid.mean() < 0.5 and (share := share_of_decibels(path, modality)) > 0.5:
            problems.append(Problem(path, f"{share:.0%} of the values are below 0", f"linear power; {DECIBEL_HINT}"))
        elif not valid.any():
            problems.append(Problem(path, "no valid pixel", "data, or no file if the sensor is missing"))
    except RasterError as error:
        problems.append(Problem(path, f"unreadable: {error.reason}", "a complete GeoTIFF"))
    except ValueError as error:
        problems.append(Problem(path, str(error), name))
    return grid


def _check_sizes(paths: Mapping, grids: Mapping[str, Grid], labeled: tuple | None, problems: list) -> None:
    if not grids:
        return
    first = next(iter(grids))
    expected, origin = (labeled, "the labels") if labeled else (grids[first].shape, first)
    for modality, grid in grids.items():
        if grid.shape != expected:
            problems.append(Problem(paths[modality], size_text(grid.shape), f"{size_text(expected)} as in {origin}"))


def _check_places(paths: Mapping, grids: Mapping[str, Grid], problems: list) -> None:
    """Compare the CRS and the geotransform of each raster with the first raster that has one."""
    referenced = {modality: (grid, grid.crs) for modality, grid in grids.items() if grid.crs}
    for modality, (grid, crs) in referenced.items():
        first, (reference, expected) = next(iter(referenced.items()))
        if crs != expected and not grid.equals(reference):  # a CRS with heights, or of another datum, moves nothing
            problems.append(Problem(paths[modality], f"CRS {_crs_text(crs)}", f"{_crs_text(expected)} as in {first}"))
    placed = {modality: grid for modality, grid in grids.items() if not grid.transform.is_identity}
    for modality, grid in placed.items():
        first, reference = next(iter(placed.items()))
        shift = _shift_px(grid, reference)
        if not shift <= TOLERANCE_PX:
            problems.append(
                Problem(paths[modality], f"misplaced by {shift:.3g} px", f"up to {TOLERANCE_PX:g} px from {first}")
            )


def _crs_text(crs: CRS) -> str:
    return crs.to_string()[:40]  # a CRS without a code is a page of text


def _shift_px(grid: Grid, reference: Grid) -> float:
    """The largest distance of a corner from where the reference has it, in pixels of the reference."""
    if reference.transform.is_degenerate or grid.transform.is_degenerate:
        return np.inf
    corners = np.array([(0, grid.width, 0, grid.width), (0, 0, grid.height, grid.height)])
    return float(np.hypot(*(~reference.transform * grid.transform * corners - corners)).max())
