"""Label maps as Cloud-Optimized GeoTIFFs with a palette, and the names of their classes where GDAL and QGIS look for them."""

from __future__ import annotations

import contextlib
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from imrsf_d2.geo.grids import Grid
from imrsf_d2.inference.cogs import cog
from imrsf_d2.utils.atomic import write_atomically
from imrsf_d2.utils.errors import InputError

__all__ = ["NO_LABEL", "check_label_map_name", "class_table_path", "label_map", "write_class_table"]

#: What no data is in a label map.
NO_LABEL = 255
#: Columns of the table of classes: name, GDAL's number of their type (0 integer, 2 text) and of their use.
_COLUMNS = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8), ("Alpha", 0, 9))


def check_label_map_name(path: str | os.PathLike) -> None:
    """See that a file name is one of a GeoTIFF.

    Raises:
        ValueError: if it is not.
    """
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise InputError(
            f"the output is {os.fspath(path)!r}, expected a name that ends in .tif: the model gives a label map."
        )


@contextlib.contextmanager
def label_map(
    path: str | os.PathLike, grid: Grid, names: Sequence[str], colors: Sequence[Sequence[int]]
) -> Iterator[Callable[[np.ndarray, Window], None]]:
    """A label map to be written in parts, in any order; the file appears when the block ends without an error.

    Args:
        path: of the GeoTIFF.
        grid: of the map.
        names: of the classes.
        colors: (red, green, blue) of each class, 0 to 255.

    Yields:
        What writes a part: takes [H, W] class indices (255 = no data) and where they belong.
    """
    with cog(path, grid, count=1, dtype="uint8", nodata=NO_LABEL, overviews="mode") as file:
        file.colorinterp = [ColorInterp.palette]
        palette = {i: (*map(int, color), 255) for i, color in enumerate(colors)}
        file.write_colormap(1, palette | {NO_LABEL: (0, 0, 0, 0)})
        file.update_tags(1, **{f"CLASS_{i}": name for i, name in enumerate(names)})
        yield lambda labels, window: file.write(labels, 1, window=window)


def class_table_path(path: str | os.PathLike) -> Path:
    """Where GDAL looks for the names of a label map's classes: GeoTIFF has no place for them."""
    path = Path(path)
    return path.with_name(f"{path.name}.aux.xml")


def write_class_table(path: str | os.PathLike, names: Sequence[str], colors: Sequence[Sequence[int]]) -> None:
    """Write the names and colors of classes as GDAL's category names and raster attribute table, which QGIS reads, too.

    Args:
        path: see `class_table_path`.
        names, colors: see `label_map`.
    """
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    categories = ElementTree.SubElement(band, "CategoryNames")
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, column in enumerate(_COLUMNS):
        field = ElementTree.SubElement(table, "FieldDefn", index=str(index))
        for tag, value in zip(("Name", "Type", "Usage"), column):
            ElementTree.SubElement(field, tag).text = str(value)
    for index, (name, color) in enumerate(zip(names, colors, strict=True)):
        ElementTree.SubElement(categories, "Category").text = name
        row = ElementTree.SubElement(table, "Row", index=str(index))
        for cell in (index, name, *map(int, color), 255):
            ElementTree.SubElement(row, "F").text = str(cell)
    ElementTree.indent(root)
    write_atomically(path, lambda file: ElementTree.ElementTree(root).write(file, encoding="UTF-8"))
