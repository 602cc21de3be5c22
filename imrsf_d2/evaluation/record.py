"""The finished subsets of a sweep in a folder, with what they were computed from, so that an interrupted sweep can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.utils.file_io import PathManager

from imrsf_d2.data.labels import label_file, semantic_truth
from imrsf_d2.evaluation.per_image import Images, load_images, save_images
from imrsf_d2.geo.raster_state import raster_state
from imrsf_d2.modalities import computed_part, subset_label
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import NotAFolderError, OccupiedError
from imrsf_d2.utils.file_state import file_digest
from imrsf_d2.utils.keys import flat_keys, is_part
from imrsf_d2.utils.locks import LOCK

__all__ = ["MARKER", "SweepRecord", "sweep_identity"]

MARKER = "sweep.json"
#: In the folder of each subset: its row (written last), the contribution of each image, and the images with data per sensor.
ROW, IMAGES, SENSORS = "scores.json", "images.npz", "sensors.json"
#: The parts of the config that the scores depend on; of these, all keys count but those in IGNORED, so that no new key is
#: forgotten.
KEYS = ("MODEL", "INPUT", "SOLVER.AMP", "TEST.DETECTIONS_PER_IMAGE")
#: Keys without an effect on the scores: the path of the weights, whose content is compared, the device, and keys that are
#: used in training only or set by the sweep.
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
#: What to say instead of two digests that differ.
CONTENTS = {
    "images": "the images have changed (ids, sizes or available sensors)",
    "labels": "the labels have changed",
    "rasters": "rasters have changed (size or modification time, which `cp -p` and `rsync -a` preserve)",
    "weights": "the weights have changed",
}
#: At most this many differences are named in a message.
NAMED = 3


class SweepRecord:
    """The finished subsets of one model on one dataset, for one process at a time (`utils.locks.sole_user`).

    Args:
        folder: has `sweep.json` and a folder for each subset.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)

    def claim(self, identity: Mapping[str, object]) -> None:
        """Use the folder for a sweep, or resume the same sweep in it.

        Args:
            identity: what the scores depend on, as returned by `sweep_identity`.

        Raises:
            FileExistsError: if the folder has other content, or finished subsets with another identity.
            NotADirectoryError: if the folder, or one of its parents, is a file.
        """
        in_the_way = next(path for path in (self.folder, *self.folder.absolute().parents) if os.path.lexists(path))
        if not in_the_way.is_dir():
            raise NotAFolderError(
                f"the output {self.folder} cannot be made: {in_the_way} is a file, expected a folder. Choose another output."
            )
        now = dict(json.loads(json.dumps(identity)))  # with tuples as lists, as in the file
        marker = self.folder / MARKER
        if not marker.is_file():
            present = sorted(path.name for path in self.folder.glob("*") if path.suffix != ".tmp" and path.name != LOCK)
            if present:
                raise OccupiedError(
                    f"{self.folder} has {present[0]!r} but no {MARKER}, so it is not the output of a sweep over modalities and is "
                    "left as it is. Choose another output."
                )
            write_text(marker, json.dumps(now, indent=1))
            return
        try:
            before = dict(json.loads(marker.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise OccupiedError(f"{marker} was not written by this command ({error}). Choose another output.") from error
        differing = [
            _difference(key, before.get(key), now.get(key)) for key in now | before if before.get(key) != now.get(key)
        ]
        if differing and not any(self.folder.glob(f"*/{ROW}")):  # no scores to mix with, e.g. after a start that failed
            write_text(marker, json.dumps(now, indent=1))
        elif differing:
            more = f" (and {len(differing) - NAMED} more)" if len(differing) > NAMED else ""
            older = (
                " Its config has other keys: another version of imrsf_d2 wrote it." if before.keys() != now.keys() else ""
            )
            raise OccupiedError(
                f"{self.folder} has the scores of another sweep: {'; '.join(differing[:NAMED])}{more}.{older} "
                "Choose another output, or delete that folder."
            )

    def has(self, subset: Sequence[str]) -> bool:
        """Whether a subset is finished."""
        return (self.folder / subset_label(subset) / ROW).is_file()

    def row(self, subset: Sequence[str]) -> dict:
        """The row of a finished subset, as `sweep_subsets` returns it."""
        return json.loads((self.folder / subset_label(subset) / ROW).read_text(encoding="utf-8"))

    def images(self, subset: Sequence[str]) -> Images:
        """What each image contributes to a finished subset's score."""
        return load_images(self.folder / subset_label(subset) / IMAGES)

    def sensors(self, subset: Sequence[str]) -> dict[str, list]:
        """For each modality of a finished subset, the ids of the images with data of it."""
        return json.loads((self.folder / subset_label(subset) / SENSORS).read_text(encoding="utf-8"))

    def keep(self, row: Mapping, images: Images, sensors: Mapping[str, Sequence]) -> None:
        """Record a subset as finished.

        Args:
            row: as returned by `sweep_subsets`.
            images: what each contributes to its score.
            sensors: modality -> ids of the images with data of it.
        """
        folder = self.folder / subset_label(row["modalities"])
        save_images(folder / IMAGES, images)
        write_text(folder / SENSORS, json.dumps(sensors))
        write_text(folder / ROW, json.dumps(row, indent=1))


def sweep_identity(cfg: CfgNode, dataset_name: str, samples: Iterable[Mapping]) -> dict[str, object]:
    """What the scores of a sweep depend on: the data, the weights and the relevant keys of the config.

    Labels and weights are compared by content. Rasters, which are many times larger, are compared by size and modification
    time, so a copy with new times (`cp` without `-p`) counts as a change. Paths are not compared.

    Args:
        cfg: of the model.
        dataset_name: a registered name.
        samples: its dataset dicts.

    Returns:
        A flat mapping that can be written as JSON.

    Raises:
        RasterError: if a label map cannot be read.
    """
    images, labels, rasters = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for sample in samples:
        has = sorted(name for name, path in sample["modalities"].items() if path is not None)
        images.update(json.dumps([[sample.get(key) for key in ("image_id", "height", "width")], has]).encode())
        labels.update(json.dumps(sample.get("annotations"), default=str).encode())
        if path := label_file(sample):
            # What is not a plain file, e.g. in an archive or on a server, is read as the evaluator reads it.
            labels.update(file_digest(path).encode() if os.path.isfile(path) else semantic_truth(sample).tobytes())
            if codes := sample.get("sem_seg_codes"):
                labels.update(json.dumps(sorted(codes.codes.items())).encode())
            if "segments_info" in sample:
                labels.update(json.dumps(sample["segments_info"]).encode())
        rasters.update(json.dumps([raster_state(sample["modalities"][name]) for name in has]).encode())
    metadata = MetadataCatalog.get(dataset_name)
    return {
        "dataset": os.path.basename(dataset_name),  # of dataset.yaml:val, whose folder may be moved
        "images": images.hexdigest(),
        "labels": labels.hexdigest(),
        "rasters": rasters.hexdigest(),
        "weights": file_digest(PathManager.get_local_path(cfg.MODEL.WEIGHTS)),
        "classes": [list(metadata.get(key, ())) for key in ("thing_classes", "stuff_classes")],
        # Pairs, because the keys of a mapping become strings in JSON.
        "categories": sorted(metadata.get("thing_dataset_id_to_contiguous_id", {}).items(), key=str),
        "ignore_label": metadata.get("ignore_label"),
        **{key: value for key, value in flat_keys(cfg) if is_part(key, KEYS) and not is_part(key, IGNORED)},
        "MODEL.IMRSF.MODALITIES": computed_part(cfg.MODEL.IMRSF.MODALITIES),
    }


def _difference(key: str, before: object, now: object) -> str:
    known = before is not None and now is not None
    return CONTENTS[key] if known and key in CONTENTS else f"{key} was {_short(before)}, now {_short(now)}"


def _short(value: object, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
