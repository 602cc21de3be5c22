"""What is to be made: scenes, classes and tiles, found before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from imrsf_d2.data.class_tables import TableClass
from imrsf_d2.data.label_codes import IGNORE_LABEL, LabelCodes
from imrsf_d2.geo.codes import CodeCounts
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import bounds_text, crs_text
from imrsf_d2.geo.wrapping import move_near, period
from imrsf_d2.inference.scene_reading import SceneFile
from imrsf_d2.preparation.tiles.labels import LabelOptions, PolygonLabels, RasterLabels, open_labels
from imrsf_d2.preparation.tiles.polygons import Polygons, read_polygons
from imrsf_d2.preparation.tiles.scenes import GridOptions, TileScene, find_scenes, place_text
from imrsf_d2.preparation.tiles.sensors import SensorOptions, Source, describe_sensors
from imrsf_d2.preparation.tiles.tiles import CodeCounter, TileJob, forget_files
from imrsf_d2.utils.errors import InputError, percent
from imrsf_d2.utils.parallel import run_jobs

__all__ = ["TilePlan", "plan_tiles"]

#: How far around a tile the outline of a large polygon is kept, px.
MARGIN_PX = 8.0
#: How far a side that is straight in one system may bend in another, as a share of its length.
CURVED = 0.05
#: Labels whose extent is a smaller share of a scene probably do not show all that is there.
LEAST_LABELED = 0.8


@dataclass(frozen=True)
class TilePlan:
    """What is to be made.

    Args:
        sources: the sensors.
        scenes: the places.
        jobs: the tiles of all scenes.
        classes: in the order of their indices.
        outside: label of pixels that no polygon covers.
        labels: label rasters, and what their codes become.
        remarks: for people.
    """

    sources: Mapping[str, Source]
    scenes: Sequence[TileScene]
    jobs: Sequence[TileJob]
    classes: tuple[TableClass, ...] = ()
    outside: int = IGNORE_LABEL
    labels: tuple[Source, LabelCodes] | None = None
    remarks: tuple[str, ...] = ()


def plan_tiles(
    rasters: Mapping[str, str],
    labels: LabelOptions,
    grids: GridOptions,
    sensors: SensorOptions,
    *,
    num_workers: int = 0,
    progress: bool = False,
) -> TilePlan:
    """Look at all files; read the polygons, and the codes of label rasters.

    Args:
        rasters: name of a sensor -> a file, a folder or a glob.

    Raises:
        MissingFileError: if a file is missing.
        RasterError: if one cannot be read.
        InputError: if files and options contradict each other; the message says which.
    """
    forget_files()
    sources = describe_sensors(rasters, sensors)
    found = open_labels(labels)
    scenes = find_scenes(sources, grids, found.source if isinstance(found, RasterLabels) else None)
    remarks = [remark for source in sources.values() for remark in source.remarks]
    area = None if labels.area is None else read_polygons(labels.area, "--labeled-area")
    placed = [_Placed(scene, grids, found, area) for scene in scenes]
    jobs = [job for number, of_scene in enumerate(placed) for job in of_scene.jobs(number)]
    if area is not None and not any(job.area is None or shapely.from_wkb(job.area).area for job in jobs):
        raise InputError(_apart("--labeled-area", area, scenes))
    if isinstance(found, PolygonLabels):
        if not any(job.shapes for job in jobs):
            raise InputError(_apart("--labels", found.polygons, scenes))
        remarks += found.remarks
        if area is None and (labels.task == "instance" or found.outside != IGNORE_LABEL):
            remarks += filter(None, (of_scene.partly_labeled() for of_scene in placed))
        return TilePlan(sources, scenes, jobs, found.classes, found.outside, remarks=tuple(remarks))
    if isinstance(found, RasterLabels):
        counts = run_jobs(CodeCounter(found.source), jobs, num_workers, progress, unit="label map")
        classes, codes = found.classes(CodeCounts.total(counts))
        return TilePlan(sources, scenes, jobs, classes, labels=(found.source, codes), remarks=tuple(remarks))
    return TilePlan(sources, scenes, jobs, remarks=tuple(remarks))


class _Placed:
    """A scene with what is labeled in it, in its pixels.

    Args:
        grids: of the tiles.
        labels: of all scenes.
        area: what is labeled of all scenes, None for all.
    """

    def __init__(
        self, scene: TileScene, grids: GridOptions, labels: PolygonLabels | RasterLabels | None, area: Polygons | None
    ):
        self.scene, self.grids = scene, grids
        # Other sensors may have data where tiles reach beyond the scene.
        covered = scene.covered(grids)
        self.shapes, self.indices = np.empty(0, dtype=object), np.empty(0, dtype=np.int64)
        if isinstance(labels, PolygonLabels):
            positions, self.shapes = labels.polygons.on(scene.grid, covered)
            self.indices = labels.indices[positions]
        self.area = None if area is None else shapely.union_all(area.on(scene.grid, covered)[1])

    def jobs(self, number: int) -> Iterator[TileJob]:
        """The tiles.

        Args:
            number: of the scene.
        """
        scene, tree = self.scene, shapely.STRtree(self.shapes)
        files = {name: _Files(found, scene.grid) for name, found in scene.sensors.items()}
        label_files = _Files(scene.labels, scene.grid)
        for window in scene.windows(self.grids):
            box = shapely.box(window.columns.start, window.rows.start, window.columns.stop, window.rows.stop)
            inside = np.sort(tree.query(box, predicate="intersects"))
            shapes = shapely.to_wkb(_in_tile(self.shapes[inside], box)).tolist()
            there = {name: of_sensor.meeting(box) for name, of_sensor in files.items()}
            yield TileJob(
                f"{scene.name}_{window.row:04d}_{window.column:04d}",
                number,
                scene.grid,
                window,
                {name: found for name, found in there.items() if found},
                label_files.meeting(box),
                tuple(zip(shapes, self.indices[inside].tolist(), strict=True)),
                None if self.area is None else _area(self.area, box),
            )

    def partly_labeled(self) -> str | None:
        """A word if the polygons show only a part of the scene, where the rest would be taken for background."""
        height, width = self.scene.grid.shape
        share = 0.0
        if len(self.shapes):
            extent = shapely.intersection(shapely.box(*shapely.total_bounds(self.shapes)), shapely.box(0, 0, width, height))
            share = extent.area / (height * width)
        if share >= LEAST_LABELED:
            return None
        return (
            f"the polygons extend over {percent(share)} of the scene {self.scene.name!r}: if the rest was not mapped, pass what was "
            "as --labeled-area, or it counts as free of objects"
        )


def _corners_near(grid: Grid, other: Grid) -> np.ndarray | None:
    """The corners [2, 4] of a grid in the system of another, in the turn around the world that is nearest to it; None if they are
    nowhere, or on both sides of 180 degrees, where they say nothing of what lies between them."""
    corners = grid.corners(other.crs)
    if corners is None or other.crs is None or not (turn := period(other.crs)):
        return corners
    if np.ptp(corners[0]) > turn / 2:
        return None
    middle = corners[0].mean()
    return corners + [[move_near(middle, float(other.points(1)[0, 0, 0]), turn) - middle], [0.0]]


class _Files:
    """The files of a sensor by the tiles that they may show some of.

    Args:
        files: of the sensor.
        grid: of the scene.
    """

    def __init__(self, files: Sequence[SceneFile], grid: Grid):
        self._files, self._grid = files, grid
        boxes = []
        for file in files:
            corners = _corners_near(file.grid, grid)
            columns, rows = ((-np.inf, np.inf),) * 2 if corners is None else ~grid.transform * corners
            # Sides that are straight in one system are curves in another.
            margin = 1.0 if corners is None else 1 + CURVED * max(np.ptp(columns), np.ptp(rows))
            boxes.append((min(columns) - margin, min(rows) - margin, max(columns) + margin, max(rows) + margin))
        self._boxes = np.array(boxes).reshape(-1, 4)

    def meeting(self, tile: shapely.Polygon) -> tuple[SceneFile, ...]:
        """Those that meet a tile, which is a rectangle in the scene's pixels."""
        left, top, right, bottom = tile.bounds
        lefts, tops, rights, bottoms = self._boxes.T
        near = np.flatnonzero((lefts < right) & (rights > left) & (tops < bottom) & (bottoms > top))
        part = self._grid.part(slice(int(top), int(bottom)), slice(int(left), int(right)))
        return tuple(self._files[i] for i in near.tolist() if part.meets(self._files[i].grid))


def _in_tile(shapes: np.ndarray, box: shapely.Polygon) -> np.ndarray:
    """Shapes in the pixels of a tile; of large ones what lies far outside is left out."""
    left, top, right, bottom = box.bounds
    lefts, tops, rights, bottoms = shapely.bounds(shapes).T
    large = (rights - lefts > right - left) | (bottoms - tops > bottom - top)
    shapes = shapes.copy()
    near = box.buffer(MARGIN_PX, join_style="mitre")
    for position in np.flatnonzero(large):
        parts = shapely.get_parts(shapely.intersection(shapes[position], near))
        polygons = [part for part in shapely.get_parts(parts) if part.geom_type == "Polygon"]
        shapes[position] = shapely.MultiPolygon(polygons)
    return shapely.transform(shapes, lambda points: points - (left, top))


def _area(whole: shapely.Geometry, box: shapely.Polygon) -> bytes | None:
    """The labeled area in the pixels of a tile, None if that is all of it."""
    if whole.covers(box):
        return None
    left, top, _, _ = box.bounds
    part = shapely.intersection(whole, box)
    return shapely.to_wkb(shapely.transform(part if part.area else shapely.Polygon(), lambda points: points - (left, top)))


def _apart(option: str, polygons: Polygons, scenes: Sequence[TileScene]) -> str:
    return (
        f"{option} {polygons.path} and the scenes do not overlap: its polygons cover {bounds_text(polygons.bounds)} in "
        f"{crs_text(polygons.crs)}, the scene {scenes[0].name!r} {place_text(scenes[0].grid)}. See whether the "
        "coordinate systems are right."
    )
