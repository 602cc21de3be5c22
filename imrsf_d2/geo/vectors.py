"""Polygons with a class code, from a vector file of any size to the label map of one tile."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.features import rasterize
from rasterio.warp import transform

from imrsf_d2.geo.codes import code_text
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import Bounds, move_bounds
from imrsf_d2.geo.wrapping import meets, period, smallest_arc, turns, unwrap_polygons
from imrsf_d2.utils.errors import InputError

__all__ = ["CODE_COLUMN", "Features", "Layer", "find_layer", "rasterize_labels", "read_features"]

#: Of Urban Atlas 2018.
CODE_COLUMN = "code_2018"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layer:
    """One layer of polygons in a vector file, and its column of class codes."""

    path: str
    name: str
    column: str
    crs: CRS


@dataclass(frozen=True)
class Features:
    """A layer's features without their outlines: small enough to keep in memory for a whole city.

    Args:
        ids: [N] int64, in the order of the file.
        bounds: [4, N] left, bottom, right, top in the layer's system, left < right.
        labels: [N] uint8, class index, or the ignored value.
        turn: `period` of the layer's system.
    """

    ids: np.ndarray
    bounds: np.ndarray
    labels: np.ndarray
    turn: float | None = None

    @property
    def extent(self) -> Bounds:
        left, bottom, right, top = self.bounds
        left, right = smallest_arc(left, right, self.turn)
        return left, float(bottom.min()), right, float(top.max())

    def within(self, extent: Bounds) -> tuple[np.ndarray, np.ndarray]:
        """Ids and labels of the features whose bounds meet a rectangle in the layer's system."""
        left, bottom, right, top = self.bounds
        found = meets(left, right, extent[0], extent[2], self.turn) & (bottom <= extent[3]) & (top >= extent[1])
        return self.ids[found], self.labels[found]


def find_layer(path: str, column: str = CODE_COLUMN, pattern: str | None = None) -> Layer:
    """Find the layer of labels in a GeoPackage or shapefile.

    Args:
        column: of the class codes, in upper or lower case.
        pattern: the layer's name, with * for any text; None chooses the only polygon layer with that column.

    Raises:
        ValueError: if there is no such layer or several, or it has no CRS; the message lists the layers.
    """
    layers = {str(name): str(kind) for name, kind in _read(pyogrio.list_layers, path)}
    polygons = [name for name, kind in layers.items() if "Polygon" in kind or "Surface" in kind or kind == "Unknown"]
    chosen = polygons if pattern is None else [name for name in layers if fnmatchcase(name, pattern)]
    fields = {name: [str(field) for field in _read(pyogrio.read_info, path, layer=name)["fields"]] for name in chosen}
    # Urban Atlas files hold layers of boundaries besides the map; these have no codes.
    coded = [name for name in chosen if column.lower() in map(str.lower, fields[name])]
    if len(coded) == 1:
        info = _read(pyogrio.read_info, path, layer=coded[0])
        try:
            crs = CRS.from_user_input(info["crs"]) if info["crs"] else None
        except CRSError as error:
            raise InputError(
                f"the coordinate reference system of layer {coded[0]!r} of {path} is not understood: {error}"
            ) from error
        # GDAL "transforms" local coordinates, as of a building site, without an error; before 3.9 also those of a GeoPackage
        # without a CRS.
        if crs is None or not (crs.is_geographic or crs.is_projected) or '["Undefined ' in info["crs"]:
            found = f", found {info['crs'][:40]!r}" if crs else ""
            raise InputError(
                f"the layer {coded[0]!r} of {path} has no coordinate reference system of the Earth{found}, expected "
                "a geographic or projected one (a shapefile needs its .prj). For Urban Atlas: ogr2ogr -a_srs EPSG:3035 "
                "OUTPUT INPUT."
            )
        return Layer(path, coded[0], next(f for f in fields[coded[0]] if f.lower() == column.lower()), crs)
    there = (
        "; ".join(
            f"{name} ({kind}: {', '.join(fields.get(name, ())) or 'columns not read'})" for name, kind in layers.items()
        )
        or "none"
    )
    if len(coded) > 1:
        raise InputError(
            f"{path} has {len(coded)} layers with the column {column!r}: {', '.join(coded)}. Choose one "
            "with --layer, where * stands for any text, as in '*UA2018'."
        )
    wanted = "polygon layer" if pattern is None else f"layer {pattern!r}"
    raise InputError(
        f"{path} has no {wanted} with the column {column!r}, found: {there}. --code-column "
        "chooses the column, --layer the layer."
    )


def read_features(layer: Layer, classes: Mapping[str, int | None], ignore: int) -> Features:
    """Read codes and bounds of all features; those without a geometry are left out with a warning.

    Args:
        classes: code -> class index, None for no data (`ClassTable.codes`).
        ignore: label of features without data.

    Raises:
        ValueError: if there is no feature, or a code is not in the table.
    """
    ids, bounds = _read(pyogrio.read_bounds, layer.path, layer=layer.name)
    _, code_ids, _, (codes,) = _read(
        pyogrio.raw.read, layer.path, layer=layer.name, columns=[layer.column], read_geometry=False, return_fids=True
    )
    # Without an area there is no pixel. The bounds of an empty geometry are zeros in some formats, NaN in others.
    usable = (bounds[2] > bounds[0]) & (bounds[3] > bounds[1])
    if not usable.any():
        raise InputError(
            f"the layer {layer.name!r} of {layer.path} has {len(ids)} features, none of which has an "
            "area, expected polygons."
        )
    if not np.array_equal(ids, code_ids):
        raise InputError(f"{layer.path} changed while it was being read. Run the command again.")
    if not usable.all():
        log.warning("%s: %d of %d features have no area and are left out.", layer.path, (~usable).sum(), len(ids))
    distinct, which = np.unique([code_text(code) for code in codes], return_inverse=True)
    if unknown := [repr(str(code)) if code else "null (its CODE is empty)" for code in distinct if code not in classes]:
        raise InputError(
            f"the layer {layer.name!r} of {layer.path} has codes in {layer.column!r} that the merge table "
            f"lacks: {', '.join(unknown[:20])}{' ...' if len(unknown) > 20 else ''}. Add "
            "a line CODE,NAME,CLASS for each to a copy of imrsf_d2/data/datasets/land_cover.csv (an empty class means "
            "no data), and pass the copy as --merge-table."
        )
    labels = np.array([ignore if (label := classes[code]) is None else label for code in distinct], dtype=np.uint8)
    ids, bounds, turn = ids[usable], np.array(bounds[:, usable]), period(layer.crs)
    if turn:
        _settle_wide(layer, ids, bounds, turn)
    return Features(ids, bounds, labels[which][usable], turn)


def _settle_wide(layer: Layer, ids: np.ndarray, bounds: np.ndarray, turn: float) -> None:
    """Replace the bounds of features on both sides of 180 degrees, which otherwise span the whole world."""
    wide = np.flatnonzero(bounds[2] - bounds[0] > turn / 2)
    if not len(wide):
        return
    apart, owner = shapely.get_parts(_outlines(layer, ids[wide]), return_index=True)
    parts = unwrap_polygons(apart, turn)
    if count := sum(before is not after for before, after in zip(apart, parts)):
        log.warning(
            "%s: %d polygons have sides of more than 180 degrees of longitude. They are assumed to cross the 180 "
            "degree meridian, not to go around the world.",
            layer.path,
            count,
        )
    left, _, right, _ = shapely.bounds(parts).T
    for position, i in enumerate(wide):
        its = (owner == position) & ~np.isnan(left)
        if its.any():
            bounds[0, i], bounds[2, i] = smallest_arc(left[its], right[its], turn)


def rasterize_labels(layer: Layer, ids: np.ndarray, labels: np.ndarray, grid: Grid, ignore: int) -> np.ndarray:
    """The label of the polygon around each pixel's center; where polygons overlap, that of the last in the file.

    Args:
        ids, labels: of the features to draw, in the order of the file (see `Features.within`).
        grid: the tile.
        ignore: label of pixels outside all polygons.

    Returns:
        [H, W] uint8.

    Raises:
        ValueError: if the file cannot be read.
    """
    canvas = np.full((grid.height, grid.width), ignore, dtype=np.uint8)
    if not len(ids):
        return canvas
    polygons, owner = _outlines(layer, ids), np.arange(len(ids))
    left, bottom, right, top = move_bounds(grid.bounds, grid.crs, layer.crs)
    # A road network can be one polygon of a hundred kilometers, of which a tile needs little. A line that is straight in
    # the layer's system is curved in the grid's, but by decimeters at most over the length of a tile.
    margin = max(right - left, top - bottom) / 16
    if turn := period(layer.crs):
        polygons, owner = _moved_near(polygons, left - margin, right + margin, turn)
    polygons = shapely.clip_by_rect(_repaired(polygons), left - margin, bottom - margin, right + margin, top + margin)
    if layer.crs != grid.crs:
        polygons = shapely.transform(
            polygons, lambda points: np.column_stack(transform(layer.crs, grid.crs, points[:, 0], points[:, 1]))
        )
    parts, part_of = shapely.get_parts(polygons, return_index=True)
    owner = owner[part_of]
    drawn = (shapely.get_dimensions(parts) == 2) & ~shapely.is_empty(parts)
    if drawn.any():
        rasterize(zip(parts[drawn], labels[owner[drawn]].tolist()), out=canvas, transform=grid.transform)
    return canvas


def _outlines(layer: Layer, ids: np.ndarray) -> np.ndarray:
    """The geometries of some features, in the order of the ids."""
    # By id, which needs no spatial index, and keeps only one tile's polygons in memory.
    _, found, geometries, _ = _read(
        pyogrio.raw.read, layer.path, layer=layer.name, columns=[], fids=ids, force_2d=True, return_fids=True
    )
    if not np.array_equal(found, ids):
        raise InputError(f"{layer.path} changed while it was being read. Run the command again.")
    return shapely.from_wkb(geometries, on_invalid="ignore")


def _moved_near(geometries: np.ndarray, low: float, high: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """The parts of geometries, moved by whole turns to each place where they meet low <= x <= high; and whose they are."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    parts = unwrap_polygons(parts, turn)
    left, _, right, _ = shapely.bounds(parts).T
    moves = [list(turns(*ends, low, high, turn)) if ends[0] == ends[0] else [] for ends in zip(left, right)]
    count = [len(of_part) for of_part in moves]
    parts, owner, shifts = np.repeat(parts, count), np.repeat(owner, count), turn * np.concatenate([[], *moves])
    for i in np.flatnonzero(shifts):
        parts[i] = shapely.transform(parts[i], lambda points, by=shifts[i]: points + (by, 0))
    return parts, owner


def _repaired(geometries: np.ndarray) -> np.ndarray:
    """The same polygons, but those that cross themselves become the areas that they enclose."""
    broken = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    if broken.any():
        geometries[broken] = shapely.make_valid(geometries[broken])
    return geometries


def _read(function, path: str, **options):
    """Call pyogrio, and report its errors in one line that names the file."""
    try:
        return function(path, **options)
    except (DataSourceError, DataLayerError) as error:
        raise InputError(
            f"cannot read the vector file {path}: {str(error).splitlines()[0]}. Expected a GeoPackage or "
            "shapefile (with its .dbf, .shx and .prj)."
        ) from error
