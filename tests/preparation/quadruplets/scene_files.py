"""Scene and vector files as users provide them, and formulas to check the results."""

import warnings

import numpy as np
import rasterio
import shapely
from pyogrio.raw import write as write_vectors
from rasterio.crs import CRS
from rasterio.transform import from_origin

from imrsf_d2.geo.grids import Grid
from imrsf_d2.preparation.quadruplets.mosaics import open_mosaics
from imrsf_d2.preparation.quadruplets.warping import fill_grid

#: Upper left corner of the scenes that most tests write, EPSG:32631.
LEFT, TOP = 500_000.0, 5_070_000.0
UTM = "EPSG:32631"
#: The pixels of such a scene that most tests look at.
GRID = Grid.north_up(CRS.from_epsg(32631), LEFT + 400, TOP - 400, 10.0, 64, 64)
DRIVERS = {".gpkg": "GPKG", ".shp": "ESRI Shapefile"}


def write_scene(path, bands, *, left=LEFT, top=TOP, pixel=10.0, crs=UTM, mask=None, names=None, alpha=None, **profile):
    """Write [C, H, W] or [H, W]; `mask` [H, W] bool becomes the file's mask, `alpha` [H, W] bool its alpha band."""
    bands = np.asarray(bands)
    bands = bands[None] if bands.ndim == 2 else bands
    if alpha is not None:
        bands = np.concatenate([bands, np.where(alpha, 255, 0).astype(bands.dtype)[None]])
    path.parent.mkdir(parents=True, exist_ok=True)
    internal = not profile.pop("sidecar", False)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=len(bands),
            height=bands.shape[1],
            width=bands.shape[2],
            dtype=bands.dtype,
            crs=crs,
            transform=from_origin(left, top, pixel, pixel),
            photometric="MINISBLACK",
            **({"alpha": "unspecified"} if alpha is not None else {}),
            **profile,
        ) as file,
    ):
        if alpha is not None:
            file.colorinterp = [*file.colorinterp[:-1], rasterio.enums.ColorInterp.alpha]
        file.write(bands)
        if names:
            file.descriptions = names
        if mask is not None:
            file.write_mask(mask)
    return path


def tile(sensor, *paths, grid=GRID, **options):
    """The values [C, H, W] of a sensor's scenes on the grid, NaN = no data; options of `open_mosaics`."""
    return fill_grid(open_mosaics(sensor, [str(path) for path in paths], **options), grid)[0]


def write_layer(path, polygons, codes, *, crs=UTM, column="code_2018", layer=None, kind="Polygon", append=False):
    """Write geometries (None for a missing one) with their codes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    geometry = np.array([None if polygon is None else shapely.to_wkb(polygon) for polygon in polygons], dtype=object)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a layer without CRS is the point of one test
        write_vectors(
            str(path),
            geometry=geometry,
            field_data=[np.array(codes)],
            fields=[column],
            crs=crs,
            geometry_type=kind,
            driver=DRIVERS[path.suffix],
            layer=layer or path.stem,
            append=append,
        )
    return path


def squares(origin, side, count_x, count_y):
    """Adjoining squares, row by row from the lower left."""
    left, bottom = origin
    return [
        shapely.box(left + side * i, bottom + side * j, left + side * (i + 1), bottom + side * (j + 1))
        for j in range(count_y)
        for i in range(count_x)
    ]


# Transverse Mercator by Krueger's series in the third flattening, WGS 84; no library has a say in it.
FLATTENING = 1 / 298.257223563
N = FLATTENING / (2 - FLATTENING)
RADIUS = 0.9996 * 6378137.0 / (1 + N) * (1 + N**2 / 4 + N**4 / 64)
ALPHA = (N / 2 - 2 * N**2 / 3 + 5 * N**3 / 16, 13 * N**2 / 48 - 3 * N**3 / 5, 61 * N**3 / 240)
BETA = (N / 2 - 2 * N**2 / 3 + 37 * N**3 / 96, N**2 / 48 + N**3 / 15, 17 * N**3 / 480)
DELTA = (2 * N - 2 * N**2 / 3 - 2 * N**3, 7 * N**2 / 3 - 8 * N**3 / 5, 56 * N**3 / 15)


def to_utm(longitude, latitude, zone):
    """Easting and northing, northern hemisphere."""
    phi, lam = np.radians(latitude), np.radians(longitude - (6 * zone - 183))
    e = 2 * np.sqrt(N) / (1 + N)
    t = np.sinh(np.arctanh(np.sin(phi)) - e * np.arctanh(e * np.sin(phi)))
    xi, eta = np.arctan2(t, np.cos(lam)), np.arctanh(np.sin(lam) / np.sqrt(1 + t**2))
    x = eta + sum(a * np.cos(2 * j * xi) * np.sinh(2 * j * eta) for j, a in enumerate(ALPHA, 1))
    y = xi + sum(a * np.sin(2 * j * xi) * np.cosh(2 * j * eta) for j, a in enumerate(ALPHA, 1))
    return 500_000 + RADIUS * x, RADIUS * y


def from_utm(easting, northing, zone):
    """Longitude and latitude, northern hemisphere."""
    xi, eta = northing / RADIUS, (easting - 500_000) / RADIUS
    x = xi - sum(b * np.sin(2 * j * xi) * np.cosh(2 * j * eta) for j, b in enumerate(BETA, 1))
    y = eta - sum(b * np.cos(2 * j * xi) * np.sinh(2 * j * eta) for j, b in enumerate(BETA, 1))
    chi = np.arcsin(np.sin(x) / np.cosh(y))
    phi = chi + sum(d * np.sin(2 * j * chi) for j, d in enumerate(DELTA, 1))
    return 6 * zone - 183 + np.degrees(np.arctan2(np.sinh(y), np.cos(x))), np.degrees(phi)


def centers(left, top, pixel, height, width):
    """x [H, W] and y [H, W] of pixel centers."""
    return np.meshgrid(left + pixel * (np.arange(width) + 0.5), top - pixel * (np.arange(height) + 0.5))


def interpolate(source, rows, columns, scale=1.0):
    """Bilinear interpolation of [H, W], spelled out.

    Args:
        source: NaN = no data.
        rows, columns: [H'], [W'], where to look, in source pixels; the first pixel's center is 0.5.
        scale: half width of the triangle, source pixels: the size of a target pixel if that is larger.
    """
    result = np.full((len(rows), len(columns)), np.nan)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            r, c = int(np.floor(row)), int(np.floor(column))
            if not (0 <= r < source.shape[0] and 0 <= c < source.shape[1]) or np.isnan(source[r, c]):
                continue  # no data at the nearest pixel
            wr = np.clip(1 - np.abs(np.arange(source.shape[0]) + 0.5 - row) / scale, 0, None)
            wc = np.clip(1 - np.abs(np.arange(source.shape[1]) + 0.5 - column) / scale, 0, None)
            weights = np.where(np.isnan(source), 0, np.outer(wr, wc))
            result[i, j] = (weights * np.nan_to_num(source)).sum() / weights.sum()
    return result


# A city as exported
SIZE, CITY_LEFT = 150, 640_000.0
CODES = ("11100", "23000", "50000", "92000")


def write_city(root, name, *, left=CITY_LEFT, top=TOP, seed=0, ending=".gpkg"):
    """Scenes of 150 px in three systems, and squares of 100 m over 130 x 130 px of them, except in the south-east."""
    rng, folder = np.random.default_rng(seed), root / name
    write_scene(folder / "s2.tif", rng.integers(1, 4000, (4, SIZE, SIZE), dtype=np.uint16), left=left, top=top)
    s1 = rng.uniform(0.01, 1, (2, SIZE, SIZE)).astype(np.float32)
    s1[:, np.arange(SIZE)[:, None] + np.arange(SIZE) < 80] = np.nan  # the swath's edge crosses the first tile
    write_scene(folder / "s1_a.tif", s1[:, :90], left=left, top=top)
    write_scene(folder / "s1_b.tif", s1[:, 90:], left=left, top=top - 900)
    west, north = from_utm(left - 100, top + 200, 31)
    write_scene(
        folder / "dem" / "lidar.tif",
        rng.uniform(0, 900, (130, 180)).astype(np.float32),
        left=west,
        top=north,
        pixel=0.00015,
        crs="EPSG:4326",
        nodata=-1,
    )
    write_scene(folder / "DNW.TIF", rng.integers(0, 9, (75, 75), dtype=np.uint8), left=left, top=top, pixel=20)
    blocks = [
        s for s in squares((left, top - 1300), 100, 13, 13) if not (s.centroid.x > left + 640 and s.centroid.y < top - 640)
    ]
    write_layer(folder / f"ua{ending}", blocks, [CODES[i % len(CODES)] for i in range(len(blocks))])
    return folder


def relabel(city, code):
    for path in city.glob("ua.*"):
        path.unlink()
    write_layer(city / "ua.gpkg", [shapely.box(340_000, TOP - 1000, 341_000, TOP)], [code])


def cover(city, codes, left=CITY_LEFT, **options):
    """Give a city land cover as a raster with pixels of 100 m instead of polygons."""
    for path in city.glob("ua.*"):
        path.unlink()
    write_scene(city / "labels" / "cover.tif", codes, left=left, pixel=100, **options)


def warnings_of(capsys, out):
    text = capsys.readouterr().out
    assert text == (out / "summary.md").read_text() + "\n"
    return [line.removeprefix("- WARNING ") for line in text.splitlines() if line.startswith("- WARNING ")]
