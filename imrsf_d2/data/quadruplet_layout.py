"""The layout of the quadruplets on disk, for the code that writes them and the code that reads them.

Bands (with the value of pixels without data, which is the file's no-data tag):
    s1      float32 x 2, VV and VH backscatter, linear power; NaN
    s2      uint16 x 4, blue, green, red, near infrared, reflectance x 10000; 0
    dem     float32 x 1, meters above sea level; -9999
    dnw     uint8 x 1, Dynamic World class 0 to 8; 255
    labels  uint8 x 1, class 0 to 6 of `land_cover.csv`; 255

Format, below the dataset's folder (`$DETECTRON2_DATASETS/quadruplets`):
    {s1,s2,dem,dnw,labels}/{City}_{row}_{column}.tif    the same name in all folders; a missing file is a missing sensor
    splits/{train,val}.txt                              tile names without `.tif`, one per line; # starts a comment
"""

from __future__ import annotations

from pathlib import Path

from imrsf_d2.data.labels import IGNORE_LABEL
from imrsf_d2.utils.errors import InputError

__all__ = ["LABELS", "NODATA", "SENSORS", "SPLITS", "city_of", "split_file"]

#: The modalities, which are also the names of their folders.
SENSORS = ("s1", "s2", "dem", "dnw")
LABELS = "labels"
SPLITS = ("train", "val")
#: No-data tag of the files of each folder.
NODATA = {"s1": float("nan"), "s2": 0, "dem": -9999.0, "dnw": 255, LABELS: IGNORE_LABEL}


def city_of(tile: str) -> str:
    """The city in a tile's name `{City}_{row}_{column}`.

    Raises:
        ValueError: if the name has another form.
    """
    city, *place = tile.rsplit("_", 2)
    if not city or len(place) != 2 or not all(number.isdigit() for number in place):
        raise InputError(f"the tile name {tile!r} is not of the form {{City}}_{{row}}_{{column}}, e.g. Lyon_0003_0012.")
    return city


def split_file(root: Path, split: str) -> Path:
    """The file that lists a split's tiles."""
    return root / "splits" / f"{split}.txt"
