"""What two splits have in common that they should not, and what belongs to none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import shapely
from rasterio.crs import CRS

from imrsf_d2.data.check import kinds
from imrsf_d2.data.check.findings import Finding
from imrsf_d2.data.check.tiles import TileFacts
from imrsf_d2.data.sample_checks import sample_files, shared_samples
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import WGS84

__all__ = ["find_orphans", "overlapping_tiles", "same_pixels", "sensor_subsets", "shared_files"]

#: Endings of files that are looked for beside those of a dataset.
RASTERS = frozenset(".tif .tiff .vrt .img .jp2 .png .jpg .jpeg .nc .hdf .h5 .zarr .npy".split())
#: Tiles of two splits may share this part of the smaller one: their edges, where pixels of several sizes do not align.
TOUCHING = 0.001

Datasets = Mapping[str, Sequence[Mapping]]
Facts = Mapping[str, Sequence[TileFacts]]


def sensor_subsets(samples: Iterable[Mapping], names: Sequence[str]) -> Counter[tuple[str, ...]]:
    """How many samples have a file of each subset of the sensors."""
    return Counter(tuple(name for name in names if sample["modalities"].get(name) is not None) for sample in samples)


def shared_files(trained: Datasets, tested: Datasets) -> list[Finding]:
    """The samples of test sets that share a file with a training set, whatever its path is called."""
    samples = [sample for dataset in trained.values() for sample in dataset]
    return [
        Finding(kinds.SHARED, "", str(sample["image_id"]), os.fspath(sample["file_name"]), dataset=name)
        for name, dataset in tested.items()
        for sample in shared_samples(samples, dataset)
    ]


def same_pixels(trained: Facts, tested: Facts) -> list[Finding]:
    """The files of test sets that are other files than those of a training set, and yet hold the same pixels."""
    seen: dict[tuple[str, bytes | None], str] = {}
    for tiles in trained.values():
        for tile in tiles:
            for name, file in tile.files.items():
                seen.setdefault((name, file.digest), file.path)
    findings = []
    for dataset, tiles in tested.items():
        for tile in tiles:
            for name, file in tile.files.items():
                other = seen.get((name, file.digest))
                if file.digest is not None and other is not None and not _one_file(file.path, other):
                    findings.append(Finding(kinds.SAME_PIXELS, name, file.path, f"as {other}", dataset=dataset))
    return findings


def overlapping_tiles(trained: Facts, tested: Facts, ids: Mapping[str, Sequence[object]]) -> list[Finding]:
    """The tiles of test sets that show ground of a training tile.

    Args:
        trained, tested: facts of the tiles of each dataset.
        ids: what the tiles of each dataset are called.
    """
    grids, names = [], []
    for dataset, tiles in trained.items():
        for tile, image_id in zip(tiles, ids[dataset], strict=True):
            if tile.grid is not None and tile.grid.located:
                grids.append(tile.grid)
                names.append(image_id)
    outlines = [_outline(grid, WGS84) for grid in grids]
    tree = shapely.STRtree(outlines)
    findings = []
    for dataset, tiles in tested.items():
        for tile, image_id in zip(tiles, ids[dataset], strict=True):
            if tile.grid is None or not tile.grid.located:
                continue
            turned = _turned(_outline(tile.grid, WGS84))
            near = sorted({i for outline in turned for i in tree.query(outline).tolist()})
            shares = {i: share for i in near if (share := _shared_ground(tile.grid, grids[i])) > TOUCHING}
            if shares:
                most = max(shares, key=lambda i: shares[i])
                more = f", and {len(shares) - 1} more" if len(shares) > 1 else ""
                text = f"{shares[most]:.0%} of it or of {names[most]}{more}"
                findings.append(Finding(kinds.OVERLAP, "", str(image_id), text, dataset=dataset))
    return findings


def find_orphans(datasets: Datasets) -> list[Finding]:
    """The rasters in the folders of a dataset's files that no sample names."""
    named: dict[str, set[str]] = {}
    sensors: dict[str, str] = {}
    for samples in datasets.values():
        for sample in samples:
            for name, path in sample_files(sample):
                folder, base = os.path.split(os.path.abspath(path))
                named.setdefault(folder, set()).add(base)
                sensors.setdefault(folder, name)
    findings = []
    for folder, known in named.items():
        if not os.path.isdir(folder):
            continue  # within an archive, say
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name not in known and not entry.name.startswith(".") and Path(entry.name).suffix.lower() in RASTERS:
                findings.append(Finding(kinds.ORPHANS, sensors[folder], entry.path, ""))
    return findings


def _one_file(first: str, second: str) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:  # a name of GDAL's
        return first == second


def _outline(grid: Grid, crs: CRS | None) -> shapely.Polygon | None:
    """A grid's outline in some system; None if it has no place there."""
    corners = grid.corners(crs)
    return None if corners is None else shapely.Polygon(corners.T[[0, 1, 3, 2]])


def _shared_ground(grid: Grid, other: Grid) -> float:
    """The share of the smaller of two tiles that the other one shows, too."""
    outline, theirs = _outline(grid, grid.crs), _outline(other, grid.crs)
    if outline is None or theirs is None:
        return 0.0
    common = max(turned.intersection(theirs).area for turned in (_turned(outline) if _in_degrees(grid) else [outline]))
    return float(common / max(min(outline.area, theirs.area), np.finfo(float).tiny))


def _in_degrees(grid: Grid) -> bool:
    return grid.crs is not None and grid.crs.is_geographic


def _turned(outline: shapely.Polygon | None) -> list[shapely.Polygon]:
    """An outline in degrees, and the same place a full turn to the east and to the west: 180 and -180 are one meridian."""
    return [] if outline is None else [shapely.transform(outline, lambda p, t=turn: p + (t, 0)) for turn in (0, 360, -360)]
