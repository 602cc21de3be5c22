"""A tiny SpaceNet 6: names, data types and coordinate system of the release, with made-up pixels and outlines."""

import json

import numpy as np
from rasterio.transform import from_origin

from imrsf_d2.data.datasets.spacenet6 import BOUNDARY_M
from tests.raster_files import write_raster_file

STRIP = "20190804111224_20190804111453"
TOP = 5749872.4045529
SIZE = 64
GSD_M = 0.5
#: number of a tile -> its west edge, m; the tiles are 32 m wide
WEST = {
    1: BOUNDARY_M - 200.25,
    2: BOUNDARY_M - 100.25,
    3: BOUNDARY_M - SIZE * GSD_M,
    4: BOUNDARY_M - 16.25,  # on the boundary
    5: BOUNDARY_M,
    6: BOUNDARY_M + 100.25,
}
#: Without buildings; without optical images, which all tiles of the release have.
EMPTY, RADAR_ALONE = 2, 6
#: Columns of a tile that the aircraft's strip does not cover.
NO_DATA_PX = 8


def tile_name(number):
    return f"{STRIP}_tile_{number}"


def outlines(number):
    """The buildings of a tile: rings [[x, y], ...] in its pixels, the first of each the outer one."""
    if number == EMPTY:
        return []
    square = [[[10, 12], [26, 12], [26, 30], [10, 30], [10, 12]]]
    court = [[[30, 34], [52, 34], [52, 56], [30, 56], [30, 34]], [[38, 40], [46, 40], [46, 48], [38, 48], [38, 40]]]
    beyond_the_edge = [[[50, 4], [80, 4], [80, 20], [50, 20], [50, 4]]]
    next_door = [[[90, 4], [98, 4], [98, 20], [90, 20], [90, 4]]]
    return [square, court, beyond_the_edge, next_door]


def write_spacenet6_files(root, crs="EPSG:32631"):
    """Write a tiny copy of what the training archive unpacks to below `root`; returns it."""
    rng = np.random.default_rng(0)
    folder = root / "train" / "AOI_11_Rotterdam"
    for number, west in WEST.items():
        mask = np.zeros((SIZE, SIZE), dtype=bool)
        for outer, *holes in outlines(number):
            for ring, value in ((outer, True), *((hole, False) for hole in holes)):
                (left, top), (right, bottom) = ring[0], ring[2]
                mask[top:bottom, left:right] = value
        sar = np.where(mask, 45, 20) + rng.normal(0, 4, (4, SIZE, SIZE))
        optical = np.where(mask, 420, 120) + rng.normal(0, 30, (4, SIZE, SIZE))
        sar[:, :, -NO_DATA_PX:] = optical[:, :, -NO_DATA_PX:] = 0
        layers = {"SAR-Intensity": sar.astype(np.float32)}
        if number != RADAR_ALONE:
            layers["PS-RGBNIR"] = optical.clip(0).astype(np.uint16)
            layers["PAN"] = layers["PS-RGBNIR"][:3].mean(axis=0).astype(np.uint16)
        for layer, pixels in layers.items():
            write_raster_file(
                folder / layer / f"SN6_Train_AOI_11_Rotterdam_{layer}_{tile_name(number)}.tif",
                pixels,
                crs=crs,
                transform=from_origin(west, TOP, GSD_M, GSD_M),
            )
        write_outlines(
            folder / "geojson_buildings" / f"SN6_Train_AOI_11_Rotterdam_Buildings_{tile_name(number)}.geojson", number
        )
    return root


def write_outlines(path, number, crs="urn:ogc:def:crs:EPSG::32631", to_map=lambda x, y: (x, y)):
    """The buildings of a tile as GeoJSON that names `crs`; `to_map` turns easting and northing to its coordinates."""

    def place(x, y):
        return [*to_map(WEST[number] + x * GSD_M, TOP - y * GSD_M), 0.0]

    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {"type": "Polygon", "coordinates": [[place(x, y) for x, y in ring] for ring in rings]},
        }
        for rings in outlines(number)
    ]
    named = {} if crs is None else {"crs": {"type": "name", "properties": {"name": crs}}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", **named, "features": features}))
