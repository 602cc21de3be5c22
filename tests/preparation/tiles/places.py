"""Small scenes and labels with known numbers, written where a test wants them."""

import json

import numpy as np
import pyogrio
import rasterio
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform_geom

from tests.raster_files import write_raster_file

CRS, LEFT, TOP = "EPSG:32633", 391000.0, 5820000.0
#: Of the scene, px of a meter.
HEIGHT, WIDTH = 100, 128


def place(crs=CRS, left=LEFT, top=TOP, pixel=1.0):
    return {"crs": crs, "transform": from_origin(left, top, pixel, pixel)}


def rgb(seed=0, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(seed).integers(1, 256, (3, height, width), dtype=np.uint8)


def write_scene(folder, seed=0):
    """RGB of the whole scene; SAR in power at 2 m for its left half; heights in decimeters of its upper part, with a hole."""
    rng = np.random.default_rng(seed + 1)
    sar = rng.gamma(4.0, 0.05, (HEIGHT // 2, WIDTH // 4)).astype(np.float32)
    dsm = rng.integers(0, 500, (70, WIDTH), dtype=np.int16)
    dsm[10:20, 40:50] = -99
    write_raster_file(folder / "rgb.tif", rgb(seed), photometric="RGB", **place())
    write_raster_file(folder / "sar.tif", sar, **place(pixel=2.0))
    write_raster_file(folder / "dsm.tif", dsm, nodata=-99, **place())
    with rasterio.open(folder / "dsm.tif", "r+") as file:
        file.descriptions, file.scales, file.units = ["surface"], [0.1], ["m"]
    return {name: str(folder / f"{name}.tif") for name in ("rgb", "sar", "dsm")}


def box(left, top, right, bottom, *holes):
    """A polygon on the map, from pixels of the scene."""
    ring = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return on_map(shapely.Polygon(ring, [[(w, n), (e, n), (e, s), (w, s)] for w, n, e, s in holes]))


def on_map(shape):
    return shapely.transform(shape, lambda points: np.column_stack([LEFT + points[:, 0], TOP - points[:, 1]]))


def write_polygons(path, shapes, crs=CRS, **columns):
    """A vector file of any driver; GeoJSON is in degrees, and takes a system for each shape."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".geojson":
        features = [
            {
                "type": "Feature",
                "properties": {name: values[i] for name, values in columns.items()},
                "geometry": transform_geom(
                    crs[i] if isinstance(crs, list) else crs,
                    "EPSG:4326",
                    shape if isinstance(shape, dict) else shapely.geometry.mapping(shape),
                ),
            }
            for i, shape in enumerate(shapes)
        ]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return str(path)
    pyogrio.raw.write(
        str(path),
        shapely.to_wkb(np.array(shapes, dtype=object)),
        [np.array(values) for values in columns.values()],
        list(columns),
        geometry_type="Unknown" if path.suffix == ".gpkg" else "Polygon",
        crs=crs,
    )
    return str(path)
