"""Sen1Floods11: surface water during floods, in Sentinel-1 and Sentinel-2 images of the same days.

Features: 446 hand-labeled chips of 512 x 512 px at about 10 m in EPSG:4326, from eleven floods on six continents. (The
4385 chips with labels from thresholds are not read.)

Bands:
    s1  float32 x 2, Sentinel-1 GRD backscatter in dB: VV, VH; NaN = no data
    s2  int16 x 13, Sentinel-2 L1C reflectance x 10000: B1 to B8, B8A, B9 to B12; 0 = no data

Format, below the dataset's folder (`$DETECTRON2_DATASETS/sen1floods11`, or `v1.1` in it, as the bucket has it):
    data/flood_events/HandLabeled/{S1Hand,S2Hand,LabelHand}/{Event}_{chip}_{S1Hand,S2Hand,LabelHand}.tif
    splits/flood_handlabeled/flood_{train,valid,test,bolivia}_data.csv      no header; file of S1Hand, file of LabelHand

Classes: labels are int16: 0 land, 1 water, -1 not labeled (clouds, no data); the files have no no-data tag.

Split: the authors': 252 chips for training, 89 for validation, 90 for testing, from the same ten floods; and the 15 chips
of the flood in Bolivia, of which no other list has a chip.

Citation: D. Bonafilia, B. Tellman, T. Anderson, E. Issenberg, "Sen1Floods11: a georeferenced dataset to train and test deep
learning flood algorithms for Sentinel-1", CVPR Workshops, 2020.
"""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.class_colors import class_colors
from imrsf_d2.data.datasets.root import dataset_root, describe_root
from imrsf_d2.data.label_codes import LabelCodes
from imrsf_d2.data.labels import IGNORE_LABEL
from imrsf_d2.data.tasks import SEMANTIC
from imrsf_d2.geo.rasters import read_grid
from imrsf_d2.utils.errors import InputError, MissingFileError, some_of

__all__ = ["CHIPS", "CLASSES", "CODES", "LABELS", "SENSORS", "load_sen1floods11", "register_sen1floods11"]

logger = logging.getLogger(__name__)

#: split -> the word in the name of its list
LISTS = {"train": "train", "val": "valid", "test": "test", "bolivia": "bolivia"}
#: split -> number of chips that the authors list
CHIPS = {"train": 252, "val": 89, "test": 90, "bolivia": 15}
#: modality -> its folder, which is also the end of its files' names
SENSORS = {"s1": "S1Hand", "s2": "S2Hand"}
LABELS = "LabelHand"
CLASSES = ("land", "water")
CODES = LabelCodes.of({"land": [0], "water": [1]}, unlabeled=[-1])

_LISTED = re.compile(r"(?P<event>[^_/\\]+)_(?P<chip>[^_/\\]+)_(?:S1Hand|S2Hand|LabelHand)\.tif")


def load_sen1floods11(root: str | os.PathLike | None, split: str) -> list[dict]:
    """Read the list of a split's chips and look for their files. Whatever a download lacks is logged.

    Args:
        root: the folder that holds `data` and `splits`, or `v1.1` with both; None for `$DETECTRON2_DATASETS/sen1floods11`.
        split: "train", "val", "test" or "bolivia".

    Returns:
        Dataset dicts with file_name, height, width, image_id ("Spain_7370579"), event, sem_seg_file_name, sem_seg_codes, and
        modalities {"s1": path, "s2": path}, None where a chip lacks that sensor.

    Raises:
        FileNotFoundError: if a list is missing, or a chip has no labels or no image at all.
        ValueError: if a list is empty, cannot be read, or names a chip that another list has too.
        RasterError: if a label file cannot be opened.
    """
    if split not in LISTS:
        raise InputError(f"split is {split!r}, expected one of {tuple(LISTS)}.")
    root = _release(dataset_root(root, "sen1floods11"))
    path = _list_file(root, split)
    chips = _read_list(path)
    for other in LISTS:
        if other != split and (other_path := _list_file(root, other)).is_file():
            if shared := sorted(set(chips) & set(_read_list(other_path))):
                raise InputError(f"{path} and {other_path} share {len(shared)} chips: {some_of(shared)}.")
    folder = root / "data" / "flood_events" / "HandLabeled"
    files = {
        layer: set(os.listdir(folder / layer)) if (folder / layer).is_dir() else set()
        for layer in (*SENSORS.values(), LABELS)
    }

    def find(layer: str, chip: str) -> str | None:
        name = f"{chip}_{layer}.tif"
        return os.fspath(folder / layer / name) if name in files[layer] else None

    for what, layers in (("labels", (LABELS,)), ("image", tuple(SENSORS.values()))):
        if without := [chip for chip in chips if not any(find(layer, chip) for layer in layers)]:
            looked = ", ".join(os.fspath(folder / layer) for layer in layers)
            raise MissingFileError(
                f"{len(without)} of the {len(chips)} chips that {path} lists have no {what}: {some_of(without)}; looked in "
                f"{looked}. datasets/sen1floods11.md has the commands that download them."
            )
    samples = []
    for chip in chips:
        modalities = {name: find(layer, chip) for name, layer in SENSORS.items()}
        labels = folder / LABELS / f"{chip}_{LABELS}.tif"
        height, width = read_grid(labels).shape
        samples.append(
            {
                "file_name": next(file for file in modalities.values() if file),
                "height": height,
                "width": width,
                "image_id": chip,
                "event": chip.partition("_")[0],
                "sem_seg_file_name": os.fspath(labels),
                "sem_seg_codes": CODES,
                "modalities": modalities,
            }
        )
    for difference in differences_from_release(samples, split):
        logger.warning("sen1floods11, %s: %s", split, difference)
    return samples


def differences_from_release(samples: Sequence[dict], split: str) -> list[str]:
    """What a copy of a split lacks of the authors' release, in words; empty for a complete one.

    Args:
        samples: of `load_sen1floods11`.
        split: its name.
    """
    found = []
    if len(samples) != CHIPS[split]:
        found.append(f"chips listed: {len(samples)}, in the release: {CHIPS[split]}.")
    for sensor, layer in SENSORS.items():
        if without := [sample["image_id"] for sample in samples if sample["modalities"][sensor] is None]:
            found.append(
                f"{len(without)} of {len(samples)} chips have no {layer} ({sensor}), the release has all: "
                f"{some_of(without)}."
            )
    if split == "bolivia" and (elsewhere := sorted({sample["event"] for sample in samples} - {"Bolivia"})):
        found.append(f"chips of other floods are listed: {some_of(elsewhere)}.")
    return found


def register_sen1floods11(name: str, root: str | os.PathLike | None, split: str) -> None:
    """Give a copy of the dataset a name for DATASETS.TRAIN and DATASETS.TEST. Reads nothing yet.

    Args:
        name: not yet registered.
        root, split: see `load_sen1floods11`.
    """
    DatasetCatalog.register(name, lambda: load_sen1floods11(root, split))
    MetadataCatalog.get(name).set(
        stuff_classes=list(CLASSES),
        stuff_colors=list(class_colors(CLASSES)),
        ignore_label=IGNORE_LABEL,
        evaluator_type=SEMANTIC.kind,
        split=split,
    )


def _release(folder: Path) -> Path:
    """The folder that holds `data` and `splits`: a copy of the whole bucket has them in `v1.1`."""
    return folder / "v1.1" if (folder / "v1.1").is_dir() else folder


def _list_file(root: Path, split: str) -> Path:
    return root / "splits" / "flood_handlabeled" / f"flood_{LISTS[split]}_data.csv"


def _read_list(path: Path) -> list[str]:
    """The chips of a list, `{Event}_{chip}`, in its order."""
    if not path.is_file():
        raise MissingFileError(
            f"no list of chips at {path}. {describe_root()}; it must name the folder that holds sen1floods11. "
            "datasets/sen1floods11.md shows the layout and the commands that download it."
        )
    chips = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        for row in filter(None, rows):
            listed = _LISTED.fullmatch(row[0].strip())
            if listed is None:
                raise InputError(
                    f"line {rows.line_num} of {path} begins with {row[0]!r}, expected the name of a file such as "
                    "Spain_7370579_S1Hand.tif."
                )
            chips.append(f"{listed['event']}_{listed['chip']}")
    if not chips:
        raise InputError(f"{path} lists no chips.")
    if len(set(chips)) < len(chips):
        repeated = sorted({chip for chip in chips if chips.count(chip) > 1})
        raise InputError(f"{path} lists chips twice: {some_of(repeated)}.")
    return chips
