"""A tiny Sen1Floods11: the names, data types, no-data values and band names of the release, with made-up pixels."""

import numpy as np
from rasterio.transform import from_origin

from tests.raster_files import write_raster_file

#: As in the release, where the grid is one of degrees.
DEGREES = 8.983152841195215e-05
BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
#: Reflectance x 10000 in each band, about as in the release: infrared is dark over water, and B10 (cirrus) always.
LAND = (1700, 1500, 1450, 1350, 1600, 2600, 3000, 2800, 3200, 600, 60, 2200, 1300)
WATER = (1500, 1200, 1000, 700, 600, 500, 450, 400, 400, 300, 50, 250, 200)
#: split -> its chips
CHIPS = {
    "train": ("Ghana_103272", "Ghana_141271", "Sri-Lanka_120804", "USA_86502"),
    "valid": ("India_25540", "Spain_7370579"),
    "test": ("Pakistan_210595",),
    "bolivia": ("Bolivia_103757", "Bolivia_129334"),
}
#: The second has no Sentinel-2 file, in contrast to the release; the first has a swath edge and a cloud.
WITHOUT_S2 = "Ghana_141271"
GAPS = "Ghana_103272"


def write_sen1floods11_files(root, size=64):
    """Write a tiny copy of the folder `v1.1` of the bucket below `root`; returns it."""
    rng = np.random.default_rng(0)
    hand = root / "data" / "flood_events" / "HandLabeled"
    places = [chip for chips in CHIPS.values() for chip in chips]
    for split, chips in CHIPS.items():
        for chip in chips:
            label, s1, s2 = _chip(rng, size)
            if chip == GAPS:
                s1[:, :, -4:] = np.nan
                s2[:, :8] = 0
                label[:8] = -1
            place = from_origin(-0.78 + 0.1 * places.index(chip), 38.1, DEGREES, DEGREES)
            tags = {"crs": "EPSG:4326", "transform": place, "compress": "deflate"}
            write_raster_file(hand / "S1Hand" / f"{chip}_S1Hand.tif", s1, names=("VV", "VH"), nodata=np.nan, **tags)
            if chip != WITHOUT_S2:
                write_raster_file(hand / "S2Hand" / f"{chip}_S2Hand.tif", s2, names=BANDS, nodata=0, **tags)
            write_raster_file(hand / "LabelHand" / f"{chip}_LabelHand.tif", label, **tags)
        path = root / "splits" / "flood_handlabeled" / f"flood_{split}_data.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{chip}_S1Hand.tif,{chip}_LabelHand.tif\n" for chip in chips))
    return root


def _chip(rng, size):
    """Label, VV and VH in dB, and reflectance of a chip with one lake: dark in both, most of all in the infrared."""
    rows, columns = np.mgrid[:size, :size]
    center = rng.uniform(0.3, 0.7, 2) * size
    water = np.hypot(rows - center[0], columns - center[1]) < 0.3 * size
    s1 = np.where(water, -21, -11) + np.array([0, -7])[:, None, None] + rng.normal(0, 1.5, (2, size, size))
    land_s2, water_s2 = (np.array(values)[:, None, None] for values in (LAND, WATER))
    s2 = np.where(water, water_s2, land_s2) * rng.normal(1, 0.05, (len(BANDS), size, size))
    return water.astype(np.int16), s1.astype(np.float32), s2.clip(1).astype(np.int16)
