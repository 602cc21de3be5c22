"""One tile: its files, each opened once, and how they fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask as coco_mask
from rasterio.crs import CRS

from imrsf_d2.data.check import kinds
from imrsf_d2.data.check.files import LABELS, FileFacts, MapFacts, examine_file, examine_map
from imrsf_d2.data.check.findings import Finding
from imrsf_d2.data.labels import label_annotations
from imrsf_d2.data.masks import segmentation_to_rle
from imrsf_d2.data.panoptic import classes_of_segments, read_segments
from imrsf_d2.data.places import place_text, same_place
from imrsf_d2.data.reading import annotation_grid
from imrsf_d2.data.tasks import PANOPTIC, SEMANTIC, Task
from imrsf_d2.geo.gdal import RasterError
from imrsf_d2.geo.grids import TOLERANCE_PX, Grid
from imrsf_d2.geo.rasters import size_text
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError

__all__ = ["TileExaminer", "TileFacts", "place_findings", "size_findings"]


@dataclass
class TileFacts:
    """What a tile is.

    Attributes:
        files: sensor -> what its file is; without those that cannot be opened.
        labels: its label map.
        codes: class index -> pixels, of annotations that are rasterized, and of segments.
        objects: areas in px of its objects, by category; None without annotations or segments.
        grid: where its annotations lie on the ground, if that is known.
        findings: what is wrong with it.
    """

    files: dict[str, FileFacts] = field(default_factory=dict)
    labels: MapFacts | None = None
    codes: dict[float, int] | None = None
    objects: dict[int, list[int]] | None = None
    grid: Grid | None = None
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class TileExaminer:
    """Examines the files of one sample; it can be sent to other processes.

    Args:
        modalities: those to look for.
        task: what the labels are; None does not look at labels.
        align: INPUT.ALIGN.
        ignore_places: INPUT.IGNORE_PLACES.
        wanted: how many values to keep of each band of a file.
    """

    modalities: tuple[Modality, ...]
    task: Task | None
    align: bool = False
    ignore_places: bool = False
    wanted: int = 64

    def __call__(self, sample: Mapping) -> TileFacts:
        """The facts of the tile of a dataset dict."""
        tile = TileFacts()
        paths: dict[str, str] = {}
        grids: dict[str, Grid] = {}
        if self.task is not None:
            self._labels(sample, tile)
        if tile.labels is not None:
            paths[LABELS], grids[LABELS] = tile.labels.file.path, tile.labels.file.grid
        for modality in self.modalities:
            path = sample["modalities"].get(modality.name)
            if path is None:
                continue
            paths[modality.name] = path
            if (facts := examine_file(path, modality, self.wanted, tile.findings)) is not None:
                tile.files[modality.name], grids[modality.name] = facts, facts.grid
        self._fit(sample, tile, paths, grids)
        return tile

    def _labels(self, sample: Mapping, tile: TileFacts) -> None:
        if (path := sample.get("sem_seg_file_name")) is not None:
            tile.labels = examine_map(path, tile.findings)
            return
        if self.task == PANOPTIC:
            self._segments(sample, tile)
            return
        annotations = sample.get("annotations")
        if annotations is None:
            return
        if self.task == SEMANTIC:
            codes, counts = np.unique(label_annotations(annotations, sample["height"], sample["width"]), return_counts=True)
            tile.codes = dict(zip(codes.tolist(), counts.tolist(), strict=True))
            return
        tile.objects, unmarked = {}, 0
        for annotation in annotations:
            rle = segmentation_to_rle(annotation["segmentation"], sample["height"], sample["width"])
            area = int(coco_mask.area(rle))
            unmarked += not area
            if area and not annotation.get("iscrowd", 0):
                tile.objects.setdefault(annotation["category_id"], []).append(area)
        if unmarked:
            found = f"{unmarked} of {len(annotations)}"
            tile.findings.append(Finding(kinds.UNMARKED, "", str(sample["image_id"]), found))

    def _segments(self, sample: Mapping, tile: TileFacts) -> None:
        try:
            ids, segments = read_segments(sample)
        except (InputError, RasterError) as error:
            tile.findings.append(Finding(kinds.LABEL_FILE, LABELS, sample["pan_seg_file_name"], str(error)))
            return
        classes, counts = np.unique(classes_of_segments(ids, segments), return_counts=True)
        tile.codes = dict(zip(classes.tolist(), counts.tolist(), strict=True))
        tile.objects = {}
        for segment in segments:
            if segment["isthing"] and not segment["iscrowd"]:
                tile.objects.setdefault(segment["category_id"], []).append(int(np.count_nonzero(ids == segment["id"])))

    def _fit(self, sample: Mapping, tile: TileFacts, paths: Mapping[str, str], grids: Mapping[str, Grid]) -> None:
        """Compare the grids of the files, as training would."""
        expected = (sample["height"], sample["width"])
        wanted = next((grid for grid in grids.values() if grid.located and grid.shape == expected), None)
        if self.align:
            try:
                wanted = annotation_grid(sample, grids.items())
            except InputError:
                pass  # the sizes below say it
            else:
                tile.findings += _far_away(paths, grids, wanted)
        if not self.align or wanted is None:
            tile.findings += size_findings(paths, grids, expected, "the annotations")
        if not self.align and not self.ignore_places:
            tile.findings += place_findings(paths, grids)
        tile.grid = wanted


def size_findings(
    paths: Mapping[str, str], grids: Mapping[str, Grid], expected: tuple[int, int] | None, origin: str
) -> list[Finding]:
    """The files of a tile that do not have the size of its annotations.

    Args:
        paths, grids: of each file that can be opened.
        expected: (H, W); None compares with the first file.
        origin: where `expected` is from, in words.
    """
    if not grids:
        return []
    if expected is None:
        origin, expected = next((name, grid.shape) for name, grid in grids.items())
    text = f"{size_text(expected)} as in {origin}"
    return [
        Finding(kinds.SIZE, name, paths[name], size_text(grid.shape), text)
        for name, grid in grids.items()
        if grid.shape != expected
    ]


def place_findings(paths: Mapping[str, str], grids: Mapping[str, Grid]) -> list[Finding]:
    """The files of a tile that lie elsewhere than the first one with a place.

    Args:
        paths, grids: of each file that can be opened.
    """
    findings = []
    systems = {name: grid for name, grid in grids.items() if grid.crs}
    for name, grid in systems.items():
        first, reference = next(iter(systems.items()))
        if grid.crs != reference.crs and not same_place(grid, reference):  # heights, or another datum, move nothing
            text = f"{_crs_text(reference.crs)} as in {first}"
            findings.append(Finding(kinds.COORDINATES, name, paths[name], f"CRS {_crs_text(grid.crs)}", text))
    placed = {name: grid for name, grid in grids.items() if not grid.transform.is_identity}
    for name, grid in placed.items():
        first, reference = next(iter(placed.items()))
        if grid.crs and reference.crs and grid.crs != reference.crs:
            continue  # their numbers cannot be compared
        shift = _shift_px(grid, reference)
        comparable = grid.located and reference.located and grid.shape == reference.shape
        if not (same_place(grid, reference) if comparable else shift <= TOLERANCE_PX):
            text = f"up to {TOLERANCE_PX:g} px from {first}"
            findings.append(Finding(kinds.ELSEWHERE, name, paths[name], f"misplaced by {shift:.3g} px", text))
    return findings


def _far_away(paths: Mapping[str, str], grids: Mapping[str, Grid], wanted: Grid | None) -> Iterable[Finding]:
    """The files that show nothing of the ground that they are to be resampled onto."""
    if wanted is None or not wanted.located:
        return
    for name, grid in grids.items():
        if grid.located and not wanted.meets(grid):
            yield Finding(kinds.ELSEWHERE, name, paths[name], place_text(grid), place_text(wanted))


def _crs_text(crs: CRS) -> str:
    return crs.to_string()[:40]  # a CRS without a code is a page of text


def _shift_px(grid: Grid, reference: Grid) -> float:
    """The largest distance of a corner from where the reference has it, in pixels of the reference."""
    if reference.transform.is_degenerate or grid.transform.is_degenerate:
        return np.inf
    corners = np.array([(0, grid.width, 0, grid.width), (0, 0, grid.height, grid.height)])
    return float(np.hypot(*(~reference.transform * grid.transform * corners - corners)).max())
