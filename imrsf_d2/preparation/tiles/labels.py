"""What the labels of the tiles are: classes, and the polygons or rasters that they come from."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imrsf_d2.data.class_tables import ClassTable, TableClass, read_class_table
from imrsf_d2.data.label_codes import IGNORE_LABEL, LabelCodes
from imrsf_d2.geo.codes import CodeCounts, code_text
from imrsf_d2.geo.gdal import RasterError, opened
from imrsf_d2.inference.scene_files import find_files
from imrsf_d2.modalities import Modality
from imrsf_d2.preparation.tiles.polygons import Polygons, read_polygons
from imrsf_d2.preparation.tiles.sensors import Source
from imrsf_d2.utils.errors import InputError, MissingFileError, counted

__all__ = ["TASKS", "LabelOptions", "PolygonLabels", "RasterLabels", "open_labels"]

TASKS = ("instance", "semantic", "pretrain")
#: Class indices of a label map are below it.
MOST_CLASSES = 255
#: Codes are below it: floating-point numbers from here on cannot tell neighbors apart.
LARGEST_CODE = 1 << 53
#: Endings of vector files that hold polygons by themselves, in lower case.
VECTOR_FILES = (".gpkg", ".geojson", ".fgb", ".parquet", ".gml", ".kml")


@dataclass(frozen=True)
class LabelOptions:
    """What a user says of the labels.

    Args:
        path: a vector file; or a raster, a folder or glob of rasters; None for no labels (task "pretrain").
        task: one of TASKS.
        layer: of the vector file; None for its only layer of polygons.
        column: of the polygons' classes; None for one class.
        table: of codes and classes, a name or a path; None makes each code a class.
        class_name: of polygons without a column; None for the name of the file.
        background: class of pixels outside all polygons (semantic); "none" leaves them unlabeled.
        area: a vector file of polygons, outside of which nothing is known; None if all is labeled.
    """

    path: str | None
    task: str
    layer: str | None = None
    column: str | None = None
    table: str | None = None
    class_name: str | None = None
    background: str = "background"
    area: str | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InputError(f"--task is {self.task!r}, expected one of {', '.join(TASKS)}.")
        if (self.path is None) != (self.task == "pretrain"):
            found = "without --labels" if self.path is None else "with --labels"
            raise InputError(f"--task {self.task} {found}: instance and semantic take labels, pretrain takes none.")
        if self.task == "pretrain" and self.area is not None:
            raise InputError("--labeled-area with --task pretrain, which has no labels; leave it out.")
        if self.class_name is not None and self.column is not None:
            raise InputError("--class-name and --class-column both say what the polygons are; pass one of them.")
        if self.table is not None and self.column is None and self.task == "instance":
            raise InputError("--classes takes --class-column, the column of the codes.")


@dataclass(frozen=True)
class PolygonLabels:
    """Labels from polygons.

    Args:
        polygons: of the whole file.
        indices: [N], the class index of each, or IGNORE_LABEL.
        classes: in the order of their indices.
        outside: label of pixels outside all polygons.
        remarks: for people.
    """

    polygons: Polygons
    indices: np.ndarray
    classes: tuple[TableClass, ...]
    outside: int = IGNORE_LABEL
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RasterLabels:
    """Labels from rasters.

    Args:
        source: the files, as a sensor.
        table: of codes and classes; None makes each code that occurs a class.
    """

    source: Source
    table: ClassTable | None

    def classes(self, found: CodeCounts) -> tuple[tuple[TableClass, ...], LabelCodes]:
        """The classes, and what each code becomes.

        Args:
            found: the codes that occur where the scenes are.

        Raises:
            InputError: if there is no label, or the table lacks a code.
        """
        where = f"the labels {self.source.files[0]}"
        if len(self.source.files) > 1:
            where += f" and {len(self.source.files) - 1} more files"
        if not found.counts:
            raise InputError(f"{where} hold no label where the scenes are: all of it is 'no data'.")
        tags = self._tags()
        if self.table is None:
            return _own_classes(found, where, tags)
        codes = self.table.label_codes()
        for tag, path in tags.items():
            if (index := codes.codes.get(tag, IGNORE_LABEL)) != IGNORE_LABEL:
                raise InputError(
                    f"{tag} is the no-data tag of {path} and {self.table.rows[index].name!r} in {self.table.path}, so such pixels "
                    "would count as not labeled: gdal_edit.py -unsetnodata FILE removes the tag; or leave the class empty in a copy "
                    "of the table if they are not labeled."
                )
        if unknown := {code: count for code, count in found.counts.items() if code not in codes.codes}:
            raise InputError(
                f"{where} hold {CodeCounts(unknown, found.pixels)}, which {self.table.path} lacks: it has {codes}. Add a line "
                "CODE,CLASS for each to a copy of the table; an empty class means 'not labeled'."
            )
        return self.table.rows, codes

    def _tags(self) -> dict[int, str]:
        """The no-data tags of the files that could be codes, each with a file that has it."""
        tags: dict[int, str] = {}
        for path in self.source.files:
            with opened(path, "the labels") as file:
                if file.nodata is not None and float(file.nodata).is_integer():
                    tags.setdefault(int(file.nodata), path)
        return tags


def open_labels(options: LabelOptions) -> PolygonLabels | RasterLabels | None:
    """Read the polygons, or look at the rasters, and find the classes as far as that is possible.

    Raises:
        MissingFileError: if there is no such file.
        InputError: if it is not what the options say.
    """
    if options.path is None:
        return None
    table = None if options.table is None else read_class_table(options.table)
    files, are_rasters = _label_files(options.path)
    if not are_rasters:
        return _polygon_labels(replace(options, path=files[0]), table)
    if options.task == "instance":
        raise InputError(f"--labels {files[0]} is a raster, and --task instance takes polygons, one for each object.")
    for option, value in (
        ("--class-column", options.column),
        ("--layer", options.layer),
        ("--class-name", options.class_name),
    ):
        if value is not None:
            raise InputError(f"{option} is given, and --labels {files[0]} is a raster; --classes TABLE names its classes.")
    return RasterLabels(Source(Modality("labels"), tuple(files), classes=True), table)


def _label_files(path: str) -> tuple[list[str], bool]:
    """The files that the labels are in, and whether they are rasters; otherwise it is one vector file.

    Raises:
        MissingFileError: if there are none.
        InputError: if there are several vector files.
    """
    try:
        files = find_files(path)
    except MissingFileError:
        if not os.path.isdir(path):
            raise MissingFileError(f"--labels {path} names no file, expected polygons or rasters.") from None
        if vectors := sorted(entry.path for entry in os.scandir(path) if entry.name.lower().endswith(VECTOR_FILES)):
            raise InputError(_one_file(path, vectors)) from None
        return [path], False  # a FileGDB and shapefiles are a folder
    try:
        with opened(files[0], "the labels"):
            return files, True
    except RasterError:
        if len(files) > 1:
            raise InputError(_one_file(path, files)) from None
        return files, False


def _one_file(path: str, files: Sequence[str]) -> str:
    return (
        f"--labels {path} names {counted(len(files), 'file')} of which {files[0]} is no raster, expected rasters, or polygons in "
        "one vector file: pass that file. `ogrmerge.py -single -o ALL.gpkg FILES` makes one of several."
    )


def _own_classes(found: CodeCounts, where: str, tags: Iterable[int]) -> tuple[tuple[TableClass, ...], LabelCodes]:
    """A class for each code."""
    if wrong := [code for code in found.counts if not (float(code).is_integer() and abs(code) < LARGEST_CODE)]:
        raise InputError(f"{where} hold {wrong[0]:g}, expected whole numbers that stand for classes.")
    if len(found.counts) == 1:
        of_tag = "".join(
            f" {tag} is their no-data tag: if it stands for a class, gdal_edit.py -unsetnodata FILE removes the tag."
            for tag in tags
        )
        raise InputError(
            f"{where} hold {min(found.counts):.0f} alone, and else no data; expected two codes or more.{of_tag}"
        )
    if len(found.counts) >= MOST_CLASSES:
        raise InputError(
            f"{where} hold {len(found.counts)} codes, expected fewer than {MOST_CLASSES} classes; --classes TABLE merges codes."
        )
    codes = sorted(map(int, found.counts))
    rows = tuple(TableClass(f"class {code}", None, (str(code),)) for code in codes)
    return rows, LabelCodes({code: index for index, code in enumerate(codes)})


def _polygon_labels(options: LabelOptions, table: ClassTable | None) -> PolygonLabels:
    assert options.path is not None
    polygons = read_polygons(options.path, "--labels", options.column, options.layer)
    remarks = []
    if polygons.repaired:
        remarks.append(
            f"{polygons.repaired} of {polygons.features} polygons crossed themselves; they are the areas that they go around"
        )
    if polygons.empty:
        remarks.append(f"{polygons.empty} of {polygons.features} features have no area and are left out")
    where = f"--labels {options.path}"
    if options.column is None:
        rows = [TableClass(options.class_name or Path(options.path).stem, None, ())]
        indices = np.zeros(len(polygons.shapes), dtype=np.int64)
    else:
        texts = [code_text(value) for value in polygons.values]
        if not any(texts):
            raise InputError(f"{where}: the column {options.column!r} is empty, expected classes.")
        if missing := texts.count(""):
            remarks.append(f"{missing} polygons have no class in {options.column!r}")
        if table is None:
            table = ClassTable(where, tuple(_spelled(texts)), ("",))
            if several := [row for row in table.rows if len(row.codes) > 1]:
                listed = "; ".join(", ".join(map(repr, row.codes)) for row in several)
                remarks.append(
                    f"{options.column!r} spells classes in several ways, which are taken as one: {listed} (--classes TABLE with a "
                    "line for each tells them apart)"
                )
        rows = list(table.rows)
        indices = table.indices(polygons.values, f"the column {options.column!r} of {where}").astype(np.int64)
    outside = IGNORE_LABEL
    if options.task == "semantic" and options.background != "none":
        names = [row.name.casefold() for row in rows]
        if options.background.casefold() in names:
            outside = names.index(options.background.casefold())
            remarks.append(f"what no polygon covers counts as the class {rows[outside].name!r} of the polygons")
        else:
            rows.insert(0, TableClass(options.background, None, ()))
            indices[indices != IGNORE_LABEL] += 1
            outside = 0
    if options.task == "semantic" and len(rows) < 2:
        raise InputError(
            f"{where} are of the class {rows[0].name!r} alone, and --background none leaves all else not labeled: expected two classes "
            "or more in a label map."
        )
    if len(rows) >= MOST_CLASSES:
        raise InputError(
            f"{where} has {len(rows)} classes in {options.column!r}, expected fewer than {MOST_CLASSES}: another --class-column, "
            "or --classes TABLE, which merges them."
        )
    return PolygonLabels(polygons, indices, tuple(rows), outside, tuple(remarks))


def _spelled(texts: Sequence[str]) -> Iterator[TableClass]:
    """A class for all spellings of a text in upper and lower case, named as most polygons spell it."""
    spellings: dict[str, list[str]] = {}
    counts = Counter(filter(None, texts))
    for text in sorted(counts, key=_natural):
        spellings.setdefault(text.casefold(), []).append(text)
    for alike in spellings.values():
        yield TableClass(max(alike, key=lambda text: counts[text]), None, tuple(alike))


def _natural(text: str) -> tuple:
    """Numbers in their order, before texts."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
