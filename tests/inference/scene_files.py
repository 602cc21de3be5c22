"""Rasters of one landscape, seen by sensors of any grid."""

from __future__ import annotations

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform

UTM, OTHER_UTM, DEGREES = CRS.from_epsg(32633), CRS.from_epsg(32632), CRS.from_epsg(4326)
LEFT, TOP = 500_000.0, 5_800_000.0


def landscape(xs, ys):
    """A smooth height in meters at places in UTM."""
    return 50 + (xs - LEFT) * 0.05 + (TOP - ys) * 0.02 + 5 * np.sin((xs - LEFT) / 60) * np.cos((ys - TOP) / 45)


def centers(transform_, height, width):
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return transform_ * (columns, rows)


def write(path, bands, transform_, crs=UTM, **profile):
    bands = np.asarray(bands)
    bands = bands[None] if bands.ndim == 2 else bands
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "driver": "GTiff",
        "count": len(bands),
        "height": bands.shape[1],
        "width": bands.shape[2],
        "dtype": bands.dtype,
    }
    with rasterio.open(path, "w", transform=transform_, crs=crs, **(options | profile)) as file:
        file.write(bands)
    return path


def write_landscape(path, resolution, height, width, crs=UTM, left=LEFT, top=TOP, scale=1.0, **profile):
    """The landscape in pixels of `resolution` units of `crs`, from (left, top) in UTM."""
    x, y = transform(UTM, crs, [left], [top])
    place = from_origin(x[0], y[0], resolution, resolution)
    xs, ys = centers(place, height, width)
    if crs != UTM:
        xs, ys = (np.reshape(side, (height, width)) for side in transform(crs, UTM, xs.ravel(), ys.ravel()))
    return write(path, (landscape(xs, ys) * scale).astype(np.float32), place, crs, **profile)


TURNED = Affine.translation(LEFT, TOP) * Affine.rotation(-20) * Affine.scale(1.0, -1.0)
