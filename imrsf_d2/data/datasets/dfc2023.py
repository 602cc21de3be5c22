"""IEEE GRSS Data Fusion Contest 2023, track 2: building footprints in optical, SAR and height tiles.

Features: 1773 labeled tiles of 512 x 512 px at 0.5 m from eleven cities; 125,153 footprints of one class.

Bands:
    rgb  uint8 x 3, optical (SuperView or Gaofen-2); all-black areas hold no data
    sar  float32 x 1, Gaofen-3 backscatter, linear power
    dsm  float32 x 1, height above ground in meters (nDSM), ground exactly 0

Format, below the dataset's folder (`$DETECTRON2_DATASETS/dfc2023`):
    track2/train/{rgb,sar,dsm}/{SV|GF2}_{City}_{lat}_{lon}.tif      one name in all folders; `height/` also for `dsm/`
    track2/buildings_only_train.json                                COCO; also below `track2/annotations/`

Classes: 1 building.

Split: labels are public for the contest's training part only, so its cities are divided: VAL_CITIES are held out.

Citation: C. Persello et al., "2023 IEEE GRSS Data Fusion Contest: Large-Scale Fine-Grained Building Classification for
Semantic Urban Reconstruction", IEEE Geoscience and Remote Sensing Magazine 11(1), 2023.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.class_colors import class_colors
from imrsf_d2.data.datasets.coco import load_coco
from imrsf_d2.data.datasets.root import dataset_root, describe_root
from imrsf_d2.data.labels import IGNORE_LABEL
from imrsf_d2.utils.errors import InputError, MissingFileError, some_of

__all__ = [
    "CITIES",
    "CLASSES",
    "FOLDERS",
    "LABELS",
    "SPLITS",
    "TRAIN_CITIES",
    "VAL_CITIES",
    "city_of",
    "label_file",
    "load_dfc2023",
    "raster_folders",
    "register_dfc2023",
]

#: Held out: 343 of the 1773 labeled tiles, on three continents.
VAL_CITIES = ("Copenhagen", "Rio", "Sydney")
TRAIN_CITIES = ("Barcelona", "Berlin", "Brasilia", "NewDelhi", "NewYork", "Portsmouth", "SanDiego", "SaoLuis")
CITIES = tuple(sorted(TRAIN_CITIES + VAL_CITIES))
#: split -> the cities whose tiles belong to it
SPLITS = {"train": TRAIN_CITIES, "val": VAL_CITIES, "all": CITIES}

LABELS = ("buildings_only_train.json", "annotations/buildings_only_train.json")
FOLDERS = {"rgb": ("rgb",), "sar": ("sar",), "dsm": ("dsm", "height")}
CLASSES = {1: "building"}
TASKS = ("instance", "semantic")


def city_of(file_name: str) -> str:
    """The city in `{SV|GF2}_{City}_{lat}_{lon}.tif`, in this module's spelling.

    Case, accents, spaces, hyphens and underscores within the name do not matter, nor what follows it ("New_York_City").

    Raises:
        ValueError: if it is not one of the labeled cities.
    """
    words = _plain(Path(file_name).name.partition("_")[2])
    for city in CITIES:
        if words.startswith(_plain(city)):
            return city
    raise InputError(
        f"the name {file_name!r} holds no city with public labels, expected "
        f"{{SV|GF2}}_{{City}}_{{lat}}_{{lon}}.tif with a city of {', '.join(CITIES)}."
    )


def load_dfc2023(root: str | os.PathLike | None, split: str) -> list[dict]:
    """Read the labels of one split and look for its rasters.

    Args:
        root: the folder that holds `track2`; None for `$DETECTRON2_DATASETS/dfc2023`.
        split: "train", "val" or "all".

    Returns:
        Dataset dicts with file_name, height, width, image_id, city, annotations (category_id 0), and modalities
        {"rgb": path, "sar": path, "dsm": path}, None where a tile lacks that sensor. Tiles without buildings stay in.

    Raises:
        FileNotFoundError: if a folder or the label file is missing, or a tile has no raster at all.
        ValueError: if the label file is no usable COCO file, a file name holds no known city, or the split is empty.
    """
    if split not in SPLITS:
        raise InputError(f"split is {split!r}, expected one of {tuple(SPLITS)}.")
    track = dataset_root(root, "dfc2023") / "track2"
    folders = raster_folders(track)
    if not folders:
        raise MissingFileError(
            f"no DFC2023 tiles at {track / 'train'}, expected the folders rgb, sar and dsm (or height) there. "
            f"{describe_root()}; it must name the folder that holds dfc2023/track2. datasets/README.md shows the layout; "
            "datasets/make_synthetic.py writes synthetic tiles to start with."
        )
    labels = label_file(track)
    samples = load_coco(labels, CLASSES)
    cities: Counter[str] = Counter()
    for sample in samples:
        # Whatever folder the file names, only the last part is the name of the rasters.
        sample["file_name"] = Path(sample["file_name"]).name
        sample["city"] = city_of(sample["file_name"])
        cities[sample["city"]] += 1
    samples = [sample for sample in samples if sample["city"] in SPLITS[split]]
    if not samples:
        found = ", ".join(f"{city} {count}" for city, count in sorted(cities.items()))
        raise InputError(
            f"the split {split!r} of {labels} is empty: its cities are {', '.join(SPLITS[split])}, but the file "
            f"has these tiles: {found}."
        )
    _attach_rasters(samples, folders)
    return samples


def register_dfc2023(name: str, root: str | os.PathLike | None, split: str, task: str = "instance") -> None:
    """Give a copy of the dataset a name for DATASETS.TRAIN and DATASETS.TEST. Reads nothing yet.

    The metadata's `json_file` holds the tiles of all splits; a scorer restricts it to the `image_id`s of
    `DatasetCatalog.get(name)`.

    Args:
        name: not yet registered.
        root, split: see `load_dfc2023`.
        task: "instance" for building instances; "semantic" for building or background, rasterized from the same file.

    Raises:
        ValueError: if the task is unknown.
    """
    if task not in TASKS:
        raise InputError(f"task is {task!r}, expected one of {TASKS}.")

    def load() -> list[dict]:
        samples = load_dfc2023(root, split)
        labels = os.fspath(label_file(dataset_root(root, "dfc2023") / "track2"))
        if metadata.json_file != labels:
            # Registered before the data or $DETECTRON2_DATASETS were in place. Metadata cannot be overwritten.
            del metadata.json_file
            metadata.json_file = labels
        return samples

    DatasetCatalog.register(name, load)
    track = dataset_root(root, "dfc2023") / "track2"
    names = ["background", *CLASSES.values()]
    metadata = MetadataCatalog.get(name).set(
        thing_classes=list(CLASSES.values()),
        thing_dataset_id_to_contiguous_id={category: i for i, category in enumerate(CLASSES)},
        json_file=os.fspath(next((track / path for path in LABELS if (track / path).is_file()), track / LABELS[0])),
        stuff_classes=names,
        stuff_colors=list(class_colors(names)),
        ignore_label=IGNORE_LABEL,
        evaluator_type=f"imrsf_{task}",
        split=split,
    )


def label_file(track: Path) -> Path:
    """The label file below the folder `track2`, in either place where releases have it.

    Raises:
        FileNotFoundError: if there is none.
    """
    for path in LABELS:
        if (track / path).is_file():
            return track / path
    raise MissingFileError(
        f"no DFC2023 labels: neither {track / LABELS[0]} nor {track / LABELS[1]} is there; "
        "datasets/README.md shows the layout."
    )


def raster_folders(track: Path) -> dict[str, Path]:
    """The folder of each modality that has one, below the folder `track2`."""
    train = track / "train"
    found = {
        modality: next((train / name for name in names if (train / name).is_dir()), None)
        for modality, names in FOLDERS.items()
    }
    return {modality: folder for modality, folder in found.items() if folder is not None}


def _attach_rasters(samples: list[dict], folders: dict[str, Path]) -> None:
    """Fill in `modalities`, and make `file_name` the path of the first raster that exists."""
    listings = {modality: set(os.listdir(folder)) for modality, folder in folders.items()}
    without = []
    for sample in samples:
        name = sample["file_name"]
        sample["modalities"] = {
            modality: os.fspath(folders[modality] / name) if name in listings.get(modality, ()) else None
            for modality in FOLDERS
        }
        present = [path for path in sample["modalities"].values() if path is not None]
        if present:
            sample["file_name"] = present[0]
        else:
            without.append(name)
    if without:
        looked = ", ".join(os.fspath(folder) for folder in folders.values())
        raise MissingFileError(
            f"{len(without)} of {len(samples)} images have no raster in any modality: "
            f"{some_of(without)}; looked in {looked}."
        )


def _plain(text: str) -> str:
    """The letters and digits of a text, without accents and case."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if c.isascii() and c.isalnum()).lower()
