"""A folder of finished subsets, which says what they were computed with, so that a killed sweep goes on in it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.utils.file_io import PathManager

from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.evaluation.per_image import InstanceImages, SemanticImages, load_images, save_images
from imrsf_d2.modalities import subset_label
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import NotAFolderError, OccupiedError
from imrsf_d2.utils.keys import flat_keys

__all__ = ["MARKER", "SweepRecord", "sweep_identity"]

MARKER = "sweep.json"
#: In the folder of each subset: its row, written last, what each image contributed, and which hold data of its sensors.
ROW, IMAGES, SENSORS = "scores.json", "images.npz", "sensors.json"
#: Parts of the config that the scores follow from. Of MODEL and INPUT all counts that is not known to be harmless, so
#: that a new key is never forgotten.
KEYS = ("MODEL", "INPUT", "SOLVER.AMP", "TEST.DETECTIONS_PER_IMAGE")
#: What is harmless: where the weights lie, as their content is compared, who computes, and what is of training alone or
#: set anew for each subset.
IGNORED = (
    "MODEL.WEIGHTS",
    "MODEL.DEVICE",
    "INPUT.CROP",
    "INPUT.DIHEDRAL",
    "INPUT.MODALITY_DROPOUT",
    "INPUT.PHOTOMETRIC",
    "INPUT.SCALE_JITTER",
    "INPUT.TEST_MODALITIES",
)
#: What the digests stand for that differ where something has changed: nobody reads a digest.
CONTENTS = {
    "images": "the images have changed (their ids, sizes, or which sensors they have)",
    "labels": "the labels have changed",
    "rasters": "rasters have changed (in size or time of change, which `cp -p` and `rsync -a` keep)",
    "weights": "the weights have changed",
}
#: So many of the differences from another run are named in a message.
NAMED = 3


class SweepRecord:
    """The finished subsets of one model on one dataset.

    Args:
        folder: holds `sweep.json` and a folder for each subset.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)

    def claim(self, identity: Mapping[str, object]) -> None:
        """Take the folder for a sweep, or go on with the one that is there.

        Args:
            identity: what the scores follow from, as from `sweep_identity`.

        Raises:
            FileExistsError: if the folder holds something else, or finished subsets with another identity.
            NotADirectoryError: if it is a file, or lies in one.
        """
        in_the_way = next(path for path in (self.folder, *self.folder.absolute().parents) if os.path.lexists(path))
        if not in_the_way.is_dir():
            raise NotAFolderError(
                f"the output {self.folder} cannot be made: {in_the_way} is a file, expected a folder. Choose another output."
            )
        identity = json.loads(json.dumps(identity))
        marker = self.folder / MARKER
        if not marker.is_file():
            present = sorted(path.name for path in self.folder.glob("*") if path.suffix != ".tmp")
            if present:
                raise OccupiedError(
                    f"{self.folder} holds {present[0]!r} and no {MARKER}: it is not the output of a "
                    "sweep over modalities, so it is left alone. Choose another output."
                )
            write_text(marker, json.dumps(identity, indent=1))
            return
        try:
            before = dict(json.loads(marker.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise OccupiedError(f"{marker} is not what this tool writes there ({error}). Choose another output.") from error
        differing = [
            _difference(key, before.get(key), identity.get(key))
            for key in identity | before
            if before.get(key) != identity.get(key)
        ]
        if differing and not any(self.folder.glob(f"*/{ROW}")):  # nothing to mix with: a start that failed, say
            write_text(marker, json.dumps(identity, indent=1))
        elif differing:
            more = f" (and {len(differing) - NAMED} more)" if len(differing) > NAMED else ""
            raise OccupiedError(
                f"{self.folder} holds the scores of another run: {'; '.join(differing[:NAMED])}{more}. "
                "Choose another output, or delete that folder."
            )

    def row(self, subset: Sequence[str]) -> dict | None:
        """The row of a finished subset, as `sweep_subsets` returns it; None if it is not finished."""
        path = self.folder / subset_label(subset) / ROW
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def images(self, subset: Sequence[str]) -> SemanticImages | InstanceImages:
        """What each image contributed to a finished subset's score."""
        return load_images(self.folder / subset_label(subset) / IMAGES)

    def sensors(self, subset: Sequence[str]) -> dict[str, list]:
        """For each modality of a finished subset, the ids of the images that hold data of it."""
        return json.loads((self.folder / subset_label(subset) / SENSORS).read_text(encoding="utf-8"))

    def keep(self, row: Mapping, images: SemanticImages | InstanceImages, sensors: Mapping[str, Sequence]) -> None:
        """Record a subset as finished.

        Args:
            row: of `sweep_subsets`.
            images: what each contributed to its score.
            sensors: modality -> ids of the images that hold data of it.
        """
        folder = self.folder / subset_label(row["modalities"])
        save_images(folder / IMAGES, images)
        write_text(folder / SENSORS, json.dumps(sensors))
        write_text(folder / ROW, json.dumps(row, indent=1))


def sweep_identity(cfg: CfgNode, dataset_name: str, samples: Iterable[Mapping]) -> dict[str, object]:
    """What the scores of a sweep follow from: the data, the weights' content, and the keys of the config that matter.

    Labels and weights count by their content. Rasters, which are many times larger, count by size and time of change, so a
    copy that does not keep times (`cp` without `-p`) is another run. Where files lie does not count.

    Args:
        samples: dataset dicts of the dataset.

    Returns:
        A flat JSON-able mapping.

    Raises:
        RasterError: if a label map cannot be read.
    """
    images, labels, rasters = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for sample in samples:
        has = sorted(name for name, path in sample["modalities"].items() if path is not None)
        images.update(json.dumps([[sample.get(key) for key in ("image_id", "height", "width")], has]).encode())
        labels.update(json.dumps(sample.get("annotations"), default=str).encode())
        if path := sample.get("sem_seg_file_name"):
            # What is no plain file, but in an archive or on a server, is read as the scorer reads it.
            labels.update(_content(path).encode() if os.path.isfile(path) else semantic_truth(sample).tobytes())
        rasters.update(json.dumps([_state(sample["modalities"][name]) for name in has]).encode())
    metadata = MetadataCatalog.get(dataset_name)
    return {
        "dataset": dataset_name,
        "images": images.hexdigest(),
        "labels": labels.hexdigest(),
        "rasters": rasters.hexdigest(),
        "weights": _content(PathManager.get_local_path(cfg.MODEL.WEIGHTS)),
        "classes": [list(metadata.get(key, ())) for key in ("thing_classes", "stuff_classes")],
        # Pairs, as JSON makes texts of a mapping's keys.
        "categories": sorted(metadata.get("thing_dataset_id_to_contiguous_id", {}).items(), key=str),
        "ignore_label": metadata.get("ignore_label"),
        **{key: value for key, value in flat_keys(cfg) if _is_part(key, KEYS) and not _is_part(key, IGNORED)},
    }


def _is_part(key: str, parts: Iterable[str]) -> bool:
    return any(key == part or key.startswith(f"{part}.") for part in parts)


def _difference(key: str, before: object, now: object) -> str:
    known = before is not None and now is not None
    return CONTENTS[key] if known and key in CONTENTS else f"{key} was {_short(before)}, now {_short(now)}"


def _content(path: str) -> str:
    """Stands for what a file holds."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _state(path: str) -> list[int] | None:
    """Size and time of change (ns) of a file; None of what is no file (a VSI path, say) or not there."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns]


def _short(value: object, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
