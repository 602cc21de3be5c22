"""Ground truth and predictions as they are drawn: instances, a label map or segments, by the task of the dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.data import Metadata, MetadataCatalog
from matplotlib.axes import Axes

from imrsf_d2.data.datasets import check_registered
from imrsf_d2.data.labels import IGNORE_LABEL, semantic_truth
from imrsf_d2.data.panoptic import classes_of_segments, read_segments
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC, SEMANTIC
from imrsf_d2.evaluation.build import dataset_task
from imrsf_d2.evaluation.masks import annotation_to_rle, rle_to_mask
from imrsf_d2.utils.errors import InputError
from imrsf_d2.visualization.palettes import RGB, KeyEntry, Palette, dataset_palette
from imrsf_d2.visualization.panels import draw_absent, draw_picture, hatch, outline

__all__ = [
    "InstanceReader",
    "LabelMap",
    "NoSensor",
    "Objects",
    "PanopticReader",
    "READERS",
    "Segments",
    "SemanticReader",
    "Target",
    "target_reader",
]

TRUTH_COLOR = "#00c853"
PREDICTION_COLOR = "#ff9100"
THING_COLOR = "#000000"  # over the colors of classes
#: Predicted instances with a lower score are not drawn.
SCORE_THRESHOLD = 0.5
UNLABELED: RGB = (1.0, 1.0, 1.0)
MAPPER_REMEDY = "a training sample", "INPUT.DATASET_MAPPER_NAME"
MODEL_REMEDY = "the model's output", "MODEL.MASK_FORMER.TEST"


@dataclass(frozen=True)
class Objects:
    """Instances of an image.

    Args:
        masks: [n, H, W] bool.
        scores: of predicted instances; None for the ground truth.
    """

    masks: np.ndarray
    scores: tuple[float, ...] | None = None

    def draw(self, axis: Axes, backdrop: np.ndarray) -> set[KeyEntry]:
        """Draw the outlines over an image [H, W, 3] of the same size; there are no classes for a key."""
        predicted = self.scores is not None
        draw_picture(axis, backdrop)
        outline(axis, self.masks, PREDICTION_COLOR if predicted else TRUTH_COLOR)
        axis.set_xlabel(
            f"{len(self.masks)} with score ≥ {SCORE_THRESHOLD:g}"
            if predicted
            else f"{len(self.masks)} object{'s' * (len(self.masks) != 1)}",
            fontsize=8,
        )
        return set()


@dataclass(frozen=True)
class LabelMap:
    """A class for each pixel of an image.

    Args:
        labels: [H, W] class indices.
        palette: of the classes.
        ignore_label: index of pixels that are not labeled; so are those with an index beyond the palette.
    """

    labels: np.ndarray
    palette: Palette
    ignore_label: int

    def draw(self, axis: Axes, backdrop: np.ndarray) -> set[KeyEntry]:
        """Draw the map in place of an image [H, W, 3]; returns the classes that occur."""
        known = (self.labels >= 0) & (self.labels < len(self.palette)) & (self.labels != self.ignore_label)
        draw_picture(axis, self.palette.paint(self.labels, known, UNLABELED), exact=True)
        hatch(axis, ~known)
        unlabeled = set() if known.all() else {KeyEntry(len(self.palette), "not labeled", UNLABELED)}
        return self.palette.key(self.labels[known]) | unlabeled


@dataclass(frozen=True)
class NoSensor:
    """In place of a prediction for a tile without data of any of the sensors that the model is given."""

    def draw(self, axis: Axes, backdrop: np.ndarray) -> set[KeyEntry]:
        """Hatch the panel of an image [H, W, 3]; there are no classes for a key."""
        draw_absent(axis, backdrop.shape[:2], "no sensor")
        return set()


@dataclass(frozen=True)
class Segments:
    """A panoptic segmentation: a class for each pixel, and the outlines of the objects.

    Args:
        labels: the classes.
        things: [n, H, W] bool masks.
    """

    labels: LabelMap
    things: np.ndarray

    def draw(self, axis: Axes, backdrop: np.ndarray) -> set[KeyEntry]:
        """Draw in place of an image [H, W, 3]; returns the classes that occur."""
        key = self.labels.draw(axis, backdrop)
        outline(axis, self.things, THING_COLOR)
        return key


Target = Objects | LabelMap | Segments | NoSensor


class InstanceReader:
    """Reads instances from the samples and outputs of instance segmentation."""

    def of_dataset(self, sample: Mapping) -> Objects:
        """The ground truth of a dataset dict."""
        size = sample["height"], sample["width"]
        masks = [rle_to_mask(annotation_to_rle(a, *size)) for a in sample.get("annotations", ())]
        return Objects(np.reshape(masks, (-1, *size)).astype(bool))

    def of_training(self, sample: Mapping) -> Objects:
        """The ground truth of a mapped training sample."""
        masks = _entry(sample, "instances", MAPPER_REMEDY).gt_masks
        return Objects(getattr(masks, "tensor", masks).numpy())  # an R-CNN's are BitMasks

    def of_output(self, output: Mapping) -> Objects:
        """The instances predicted for one image."""
        instances = _entry(output, "instances", MODEL_REMEDY).to("cpu")
        kept = instances[instances.scores >= SCORE_THRESHOLD]
        return Objects(kept.pred_masks.numpy() > 0.5, tuple(kept.scores.tolist()))


class SemanticReader:
    """Reads label maps from the samples and outputs of semantic segmentation.

    Args:
        metadata: of the dataset, with `stuff_classes`, and optionally `stuff_colors` and `ignore_label`.
    """

    def __init__(self, metadata: Metadata):
        self._palette = dataset_palette(metadata)
        self._ignore_label = metadata.get("ignore_label", IGNORE_LABEL)

    def of_dataset(self, sample: Mapping) -> LabelMap:
        """The ground truth of a dataset dict."""
        return self._map(semantic_truth(sample, len(self._palette)))

    def of_training(self, sample: Mapping) -> LabelMap:
        """The ground truth of a mapped training sample."""
        return self._map(_entry(sample, "sem_seg", MAPPER_REMEDY).numpy())

    def of_output(self, output: Mapping) -> LabelMap:
        """The label map predicted for one image."""
        return self._map(_entry(output, "sem_seg", MODEL_REMEDY).argmax(dim=0).cpu().numpy())

    def _map(self, labels: np.ndarray) -> LabelMap:
        return LabelMap(labels, self._palette, self._ignore_label)


class PanopticReader:
    """Reads segments from the samples and outputs of panoptic segmentation.

    Args:
        metadata: of the dataset, with `stuff_classes`, which are all classes, and `thing_dataset_id_to_contiguous_id`.
    """

    def __init__(self, metadata: Metadata):
        self._palette = dataset_palette(metadata)
        self._things = frozenset(metadata.thing_dataset_id_to_contiguous_id.values())

    def of_dataset(self, sample: Mapping) -> Segments:
        """The ground truth of a dataset dict."""
        return self._segments(*read_segments(sample))

    def of_training(self, sample: Mapping) -> Segments:
        """The ground truth of a mapped training sample."""
        truth = _entry(sample, "instances", MAPPER_REMEDY)
        masks, classes = truth.gt_masks.numpy(), truth.gt_classes.tolist()
        ids = np.zeros(masks.shape[1:], dtype=np.int32)
        for number, mask in enumerate(masks, start=1):
            ids[mask] = number
        return self._segments(ids, [{"id": i, "category_id": category} for i, category in enumerate(classes, start=1)])

    def of_output(self, output: Mapping) -> Segments:
        """The segments predicted for one image."""
        ids, segments = _entry(output, "panoptic_seg", MODEL_REMEDY)
        return self._segments(ids.cpu().numpy(), segments)

    def _segments(self, ids: np.ndarray, segments: Sequence[Mapping]) -> Segments:
        things = [ids == segment["id"] for segment in segments if segment["category_id"] in self._things]
        labels = LabelMap(classes_of_segments(ids, segments), self._palette, IGNORE_LABEL)
        return Segments(labels, np.reshape(things, (-1, *ids.shape)).astype(bool))


Reader = InstanceReader | SemanticReader | PanopticReader
#: A dataset's `evaluator_type` -> its reader, made from the metadata
READERS: dict[str, Callable[[Metadata], Reader]] = {
    INSTANCE.kind: lambda metadata: InstanceReader(),
    SEMANTIC.kind: SemanticReader,
    PANOPTIC.kind: PanopticReader,
}


def target_reader(dataset_name: str) -> Reader:
    """The reader for the task of a registered dataset.

    Raises:
        ValueError: if it is not registered, or the `evaluator_type` of its metadata is not one of ours.
    """
    check_registered([dataset_name])
    return READERS[dataset_task(dataset_name).kind](MetadataCatalog.get(dataset_name))


def _entry(mapping: Mapping, key: str, remedy: tuple[str, str]):
    what, where = remedy
    if key not in mapping:
        raise InputError(
            f"{what} has {sorted(mapping)}, but no {key!r}, which the dataset's evaluator_type needs; see {where}."
        )
    return mapping[key]
