"""Polygons of any vector file, in the pixels of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.errors import CRSError

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import Bounds, move_bounds, move_points
from imrsf_d2.geo.wrapping import period, turns
from imrsf_d2.utils.errors import InputError, MissingFileError, some_of

__all__ = ["Polygons", "read_polygons"]

#: How far around the tiles of a scene polygons are kept, as a share of their sides.
MARGIN = 0.01
#: Edges that are straight in one system are curves in another: none is longer than this share of the scene's diagonal.
LONGEST_EDGE = 1 / 128


@dataclass(frozen=True, eq=False)
class Polygons:
    """The features of a layer that cover something.

    Args:
        path: the file.
        shapes: [N] valid polygons or multi-polygons, in the order of the file.
        values: [N], what the column that was asked for holds; empty if none was.
        crs: their system.
        features: all features of the layer.
        repaired: those that crossed themselves, and are the areas that they go around.
        empty: those without an area, which are left out.
    """

    path: str
    shapes: np.ndarray
    values: tuple[object, ...]
    crs: CRS
    features: int
    repaired: int
    empty: int

    @property
    def bounds(self) -> Bounds:
        """The rectangle in `crs` that holds all of them."""
        left, bottom, right, top = shapely.total_bounds(self.shapes).tolist()
        return left, bottom, right, top

    def on(self, grid: Grid, covered: Grid) -> tuple[np.ndarray, np.ndarray]:
        """What lies on a scene or beside it.

        Args:
            grid: of the scene, located.
            covered: what its tiles cover, which may be more.

        Returns:
            positions in `shapes`, ascending; and the shapes in columns and rows of the scene, clipped near the edges of
            what the tiles cover.
        """
        # Tiles may reach beyond the domain of the polygons' system, or even beyond a pole, where the scene does not.
        bounds = self._bounds_of(covered) or self._bounds_of(grid)
        if bounds is None:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=object)
        left, bottom, right, top = bounds
        across, down = MARGIN * (right - left), MARGIN * (top - bottom)
        box = left - across, bottom - down, right + across, top + down
        found: dict[int, list] = {}
        lefts, bottoms, rights, tops = shapely.bounds(self.shapes).T
        turn = period(self.crs)
        for move in [0.0] if turn is None else [k * turn for k in turns(lefts.min(), rights.max(), box[0], box[2], turn)]:
            near = (lefts + move < box[2]) & (rights + move > box[0]) & (bottoms < box[3]) & (tops > box[1])
            positions = np.flatnonzero(near)
            shapes = self.shapes[positions]
            if move:
                shapes = shapely.transform(shapes, lambda points, by=move: points + (by, 0))
            for position, shape in zip(positions.tolist(), self._moved(shapes, box, grid), strict=True):
                if shape.area > 0:
                    found.setdefault(position, []).append(shape)
        positions = np.array(sorted(found), dtype=np.int64)
        several = (found[position] for position in positions.tolist())
        shapes = np.array([shapely.union_all(parts) if len(parts) > 1 else parts[0] for parts in several], dtype=object)
        return positions, shapes

    def _bounds_of(self, grid: Grid) -> Bounds | None:
        """The rectangle in the polygons' system around a grid, None if it is outside the domain of that."""
        assert grid.crs is not None  # see `find_scenes`
        try:
            return move_bounds(grid.bounds, grid.crs, self.crs)
        except InputError:
            return None

    def _moved(self, shapes: np.ndarray, box: Bounds, grid: Grid) -> np.ndarray:
        """Shapes in the polygons' system, clipped to a box there, in the pixels of a grid."""
        # Clipped first: what is far from the scene may have no place in its system.
        lefts, bottoms, rights, tops = shapely.bounds(shapes).T
        beyond = (lefts < box[0]) | (bottoms < box[1]) | (rights > box[2]) | (tops > box[3])
        shapes = shapes.copy()
        shapes[beyond] = shapely.intersection(shapes[beyond], shapely.box(*box))
        if self.crs != grid.crs:
            shapes = shapely.segmentize(shapes, np.hypot(box[2] - box[0], box[3] - box[1]) * LONGEST_EDGE)

        def project(points: np.ndarray) -> np.ndarray:
            moved = move_points(points.T, self.crs, grid.crs)
            if moved is None:
                raise InputError(f"polygons of {self.path} near a scene have no place in its system, {grid.crs}.")
            return np.stack(~grid.transform * moved, axis=1)

        return _areas(shapely.transform(shapes, project))[0]


def read_polygons(path: str, option: str, column: str | None = None, layer: str | None = None) -> Polygons:
    """Read the polygons of a vector file.

    Args:
        path: anything that GDAL reads as vectors.
        option: that names it, for messages.
        column: whose values are wanted, in upper or lower case.
        layer: its name; None for the only layer of polygons (with that column).

    Raises:
        MissingFileError: if there is no such file.
        InputError: if it cannot be read, has no such layer or column, holds no polygon or does not say its system.
    """
    if not (Path(path).exists() or path.startswith("/vsi") or "://" in path):
        raise MissingFileError(f"no file {path!r}. It is named by {option}.")
    where = f"{option} {path}"
    try:
        layer, column = _choose(path, where, column, layer)
        meta, _, outlines, fields = pyogrio.raw.read(
            path, layer=layer, columns=[] if column is None else [column], force_2d=True
        )
    except (DataSourceError, DataLayerError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).partition(";")[0].splitlines()[0].rstrip(".")
        raise InputError(
            f"cannot read {where}: {reason}. Expected polygons; of what GDAL opens, `ogr2ogr OUT.gpkg IN` makes a GeoPackage."
        ) from error
    if not len(outlines):
        raise InputError(f"{where}: the layer {layer!r} is empty, expected polygons.")
    crs = _system(meta["crs"], where, layer)
    raw = shapely.from_wkb(outlines, on_invalid="ignore")
    shapes, repaired = _areas(raw)
    kept = np.array([shape is not None and shape.area > 0 for shape in shapes])
    if not kept.any():
        kinds = sorted({str(shape.geom_type) for shape in raw if shape is not None})
        raise InputError(
            f"{where}: the layer {layer!r} has no polygon that covers anything among {len(raw)} features; "
            f"found {', '.join(kinds) or 'no geometry'}."
        )
    values = () if column is None else tuple(value for value, keep in zip(fields[0], kept, strict=True) if keep)
    return Polygons(
        path, shapes[kept], values, crs, len(raw), int(np.count_nonzero(repaired & kept)), int(np.count_nonzero(~kept))
    )


def _choose(path: str, where: str, column: str | None, layer: str | None) -> tuple[str, str | None]:
    """The layer to read, and the column as the file spells it."""
    layers = {str(name): str(kind) for name, kind in pyogrio.list_layers(path)}
    if layer is not None and layer not in layers:
        raise InputError(f"{where} has no layer {layer!r}, expected one of {some_of(layers)} (--layer).")
    shown = {
        name: kind
        for name, kind in layers.items()
        if name == layer or (layer is None and ("Polygon" in kind or "Surface" in kind or kind in ("Unknown", "None")))
    }
    # Tables without geometry are no layers of polygons; a file without features may not know what it holds.
    chosen = [name for name, kind in shown.items() if kind != "None"]
    if not chosen:
        kinds = ", ".join(f"{name} ({kind})" for name, kind in layers.items()) or "none"
        raise InputError(f"{where} has no layer of polygons, found: {kinds}.")
    columns = {name: [str(field) for field in pyogrio.read_info(path, layer=name)["fields"]] for name in chosen}
    if column is not None:
        having = [name for name in chosen if column.lower() in map(str.lower, columns[name])]
        if not having:
            there = "; ".join(f"{name}: {', '.join(fields) or 'none'}" for name, fields in columns.items())
            raise InputError(f"{where} has no column {column!r}, found the columns of {there} (--class-column).")
        chosen = having
    if len(chosen) > 1:
        raise InputError(f"{where} has {len(chosen)} layers of polygons: {some_of(chosen)}. Choose one with --layer.")
    if column is not None:
        column = next(field for field in columns[chosen[0]] if field.lower() == column.lower())
    return chosen[0], column


def _system(text: str | None, where: str, layer: str) -> CRS:
    try:
        crs = CRS.from_user_input(text) if text else None
    except CRSError as error:
        raise InputError(f"{where}: the coordinate system of layer {layer!r} is not understood: {error}") from error
    if crs is None or not (crs.is_geographic or crs.is_projected) or '["Undefined ' in str(text):
        raise InputError(
            f"{where}: the layer {layer!r} does not say which coordinate system it is in (a shapefile needs its .prj). "
            "ogr2ogr -a_srs EPSG:code OUT IN says it."
        )
    return crs


def _areas(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shapes as polygons that cover the same; of what crosses itself the area that it goes around, of others their polygons.

    Returns:
        [N] polygons and multi-polygons, empty for what covers nothing, and [N] bool, True = it was not valid.
    """
    shapes = np.array([shapely.Polygon() if shape is None else shape for shape in shapes], dtype=object)
    broken = ~shapely.is_valid(shapes)
    shapes[broken] = shapely.make_valid(shapes[broken])
    kinds = shapely.get_type_id(shapes)
    other = ~np.isin(kinds, (int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON)))
    for position in np.flatnonzero(other):
        parts = [part for part in _flat(shapes[position]) if part.area > 0]
        shapes[position] = shapely.union_all(parts) if parts else shapely.Polygon()
    return shapes, broken


def _flat(shape: shapely.Geometry) -> Sequence[shapely.Geometry]:
    return shapely.get_parts(shapely.get_parts(shape)).tolist()  # of collections of multi-polygons, too
