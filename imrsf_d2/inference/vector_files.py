"""Features as files: GeoPackage, FlatGeobuf, GeoJSON and GeoParquet, complete or absent."""

from __future__ import annotations

import itertools
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import shapely.geometry
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from imrsf_d2.geo.vector_writing import multipolygons, write_polygons
from imrsf_d2.inference.write_errors import written
from imrsf_d2.utils.atomic import replacing_together
from imrsf_d2.utils.errors import InputError

__all__ = ["FORMATS", "Feature", "check_format", "write_features"]

#: file name extension -> GDAL's driver; GeoParquet is written with pyarrow, as the wheels' GDAL has no driver
FORMATS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON", ".parquet": "Parquet"}
#: Formats to which nothing can be added, so that all features are held in memory until the end.
ONE_GO = ("FlatGeobuf", "GeoJSON", "Parquet")
#: Features that are written at a time.
CHUNK = 2000

#: column of `Feature.attributes` -> its data type
COLUMNS = {"class": object, "score": np.float64, "area_m2": np.float64, "sensors": object, "cut": bool}


@dataclass(frozen=True, eq=False)
class Feature:
    """An object of a scene.

    Args:
        geometry: Polygon or MultiPolygon in the scene's coordinates.
        label: name of its class.
        score: 0 to 1.
        area_m2: on the ground.
        sensors: names of the modalities with data in at least half of it.
        cut: True if it touches the scene's border, or reaches far out of the area asked for: there may be more of it.
    """

    geometry: BaseGeometry
    label: str
    score: float
    area_m2: float
    sensors: tuple[str, ...]
    cut: bool

    @property
    def attributes(self) -> dict[str, str | float | bool]:
        """What a file says of it besides its place: column -> value."""
        return {
            "class": self.label,
            "score": round(self.score, 6),
            "area_m2": round(self.area_m2, 3),
            "sensors": ",".join(self.sensors),
            "cut": self.cut,
        }

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """As a GeoJSON-like mapping, which geopandas, fiona, rasterio and others take."""
        return {"type": "Feature", "geometry": shapely.geometry.mapping(self.geometry), "properties": self.attributes}


def check_format(path: str | os.PathLike) -> str:
    """The driver for a file name.

    Raises:
        ValueError: if the name ends like no format, or what writes it is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"the output is {os.fspath(path)!r}, expected a name that ends in {', '.join(FORMATS)}.")
    if suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"the output is {os.fspath(path)!r}, but GeoParquet takes pyarrow: pip install pyarrow."
            ) from error
    return FORMATS[suffix]


def write_features(path: str | os.PathLike, features: Iterable[Feature], crs: CRS, layer: str = "predictions") -> int:
    """Write features in the order in which they come, numbered from 1; GeoJSON is in WGS 84 (RFC 7946), others in `crs`.

    Args:
        path: see `FORMATS`; what was there is replaced when the new file is complete.
        layer: its name, in a GeoPackage.

    Returns:
        How many there were.

    Raises:
        ValueError: see `check_format`.
    """
    driver = check_format(path)
    number = 0
    # In a folder of its own, under its own name: for FlatGeobuf, a name that ends otherwise is a folder of layers.
    with replacing_together(f"{os.fspath(path)}.{secrets.token_hex(6)}.tmp") as made_at, written(path):
        for some in _some_at_a_time(features, None if driver in ONE_GO else CHUNK):
            shapes, columns = [feature.geometry for feature in some], _columns(some, first=number + 1)
            if driver == "Parquet":
                _write_parquet(made_at(path), shapes, columns, crs)
            else:
                write_polygons(made_at(path), shapes, columns, crs, layer, driver=driver, append=number > 0)
            number += len(some)
    return number


def _some_at_a_time(features: Iterable[Feature], number: int | None) -> Iterator[list[Feature]]:
    """Lists of up to `number` features, all in one if None; one empty list if there are none."""
    features = iter(features)
    some = list(itertools.islice(features, number))
    while True:
        yield some
        if not (some := list(itertools.islice(features, number))):
            return


def _columns(features: Sequence[Feature], first: int) -> dict[str, np.ndarray]:
    """What a file says of features besides their places; they are numbered from `first`."""
    attributes = [f.attributes for f in features]
    columns = {"id": np.arange(first, first + len(features), dtype=np.int64)}
    return columns | {name: np.array([of_one[name] for of_one in attributes], dtype=kind) for name, kind in COLUMNS.items()}


def _write_parquet(path: str, shapes: Sequence[BaseGeometry], columns: dict[str, np.ndarray], crs: CRS) -> None:
    """GeoParquet 1.1: well-known binary, and where and what it is in the file's metadata."""
    import pyarrow
    import pyarrow.parquet

    # By its code if it has one: the long names of a system do not travel between processes.
    system = CRS.from_user_input(crs.to_string()).to_dict(projjson=True)
    described = {"encoding": "WKB", "geometry_types": ["MultiPolygon"], "crs": system}
    if shapes:
        described["bbox"] = [float(side) for side in shapely.total_bounds(shapes)]
    about = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": described}}
    table = pyarrow.table(
        {
            # Of no feature at all, text has no type that could be told.
            **{
                name: pyarrow.array(values, pyarrow.string() if values.dtype == object else None)
                for name, values in columns.items()
            },
            "geometry": pyarrow.array(list(multipolygons(shapes)), pyarrow.binary()),
        }
    )
    pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(about)}), path)
