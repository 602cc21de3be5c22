"""Ground truth and predictions as a page shows them: outlines of objects with their scores, a label map, or segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import Metadata

from imrsf_d2.data.class_colors import class_colors
from imrsf_d2.data.labels import IGNORE_LABEL, semantic_truth
from imrsf_d2.data.panoptic import classes_of_segments, read_segments
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC, SEMANTIC
from imrsf_d2.evaluation.masks import annotation_to_rle, masks_to_rles, rle_to_mask
from imrsf_d2.evaluation.matching import match_by_iou
from imrsf_d2.evaluation.panoptic_quality import pair_segments
from imrsf_d2.utils.probabilities import class_probabilities
from imrsf_d2.visualization.pages.encoding import gray_url, mask_path, shrunk_labels, shrunk_masks
from imrsf_d2.visualization.palettes import Palette, dataset_palette

__all__ = ["ANSWERS", "Answers", "LabelMaps", "Objects", "Segments"]

#: Objects with a lower score are not in the page; its reader chooses a limit above this one.
LEAST_SCORE = 0.25
#: At most this many objects of a tile are in the page, those with the highest scores.
MOST_OBJECTS = 100
#: IoU with a true object from which on a predicted one is right, as for AP50.
LEAST_IOU = 0.5
#: Side of the blocks whose mean score is in the page, px of a shown map.
SCORE_BLOCK = 4


class Objects:
    """Instances as outlines.

    Args:
        metadata: of the dataset, with `thing_classes`.
    """

    kind = "objects"

    def __init__(self, metadata: Metadata):
        self.classes = list(metadata.get("thing_classes", ()))
        self.colors = [list(color) for color in class_colors(self.classes)]
        self.palette = None  # of a map to be drawn like this one

    def of_dataset(self, sample: Mapping, step: int) -> dict:
        """The ground truth of a dataset dict: for each object its path `d`, its class `c`, and `crowd` if scores leave it out: a
        crowd, or an annotation that marks no pixel."""
        size = sample["height"], sample["width"]
        items = []
        for annotation in sample.get("annotations", ()):
            mask = rle_to_mask(annotation_to_rle(annotation, *size))
            item = {"d": mask_path(shrunk_labels(mask, step)), "c": annotation["category_id"]}
            items.append(item | ({"crowd": True} if annotation.get("iscrowd", 0) or not mask.any() else {}))
        return {"items": items}

    def of_output(self, output: Mapping, sample: Mapping, step: int) -> dict:
        """The instances predicted for one image, highest score first: path `d`, class `c`, score `s`, and `m`: the position
        of the true object of that class that it finds, by COCO's rules; -1 for none, and None for a prediction that does not count, as
        it lies in a crowd. `more` is the number of those left out."""
        found = output["instances"].to("cpu")
        scores, classes = found.scores.numpy(), found.pred_classes.numpy()
        masks = found.pred_masks.numpy() > 0.5
        order = np.argsort(-scores, kind="stable")
        order = order[(scores[order] >= LEAST_SCORE) & masks[order].any(axis=(1, 2))]
        more, order = max(0, len(order) - MOST_OBJECTS), order[:MOST_OBJECTS]
        matches = _matches(masks[order], classes[order], sample)
        shown = shrunk_masks(masks[order], step)
        return {
            "items": [
                {"d": mask_path(mask), "c": int(classes[i]), "s": round(float(scores[i]), 4), "m": match}
                for i, mask, match in zip(order, shown, matches)
            ],
            "more": more,
        }


def _matches(masks: np.ndarray, classes: np.ndarray, sample: Mapping) -> list[int | None]:
    """The annotation that each mask [n, H, W] finds, -1 for none, None for a crowd; masks are in descending order of their scores."""
    annotations = sample.get("annotations", ())
    size = sample["height"], sample["width"]
    matches = np.full(len(masks), -1)
    rles = masks_to_rles(masks)
    for category in np.unique(classes):
        own = np.flatnonzero(classes == category)
        places = [i for i, annotation in enumerate(annotations) if annotation["category_id"] == category]
        if not places:
            continue
        truth = [annotation_to_rle(annotations[i], *size) for i in places]
        crowd = np.array([bool(annotations[i].get("iscrowd", 0)) for i in places])
        ious = np.asarray(mask_util.iou([rles[i] for i in own], truth, crowd.tolist()))
        found = match_by_iou(ious, crowd, LEAST_IOU)
        matches[own] = np.append(places, -1)[found]
    crowds = {i for i, annotation in enumerate(annotations) if annotation.get("iscrowd", 0)}
    return [None if match in crowds else match for match in matches.tolist()]


class LabelMaps:
    """A class for each pixel, as an image whose gray values are the indices of the classes.

    Args:
        metadata: of the dataset, with `stuff_classes`, and optionally `stuff_colors` and `ignore_label`.
    """

    kind = "map"

    def __init__(self, metadata: Metadata):
        self.palette = dataset_palette(metadata)
        self.classes = list(self.palette.names)
        self.colors = _in_bytes(self.palette)
        self._ignore_label = metadata.get("ignore_label", IGNORE_LABEL)

    def of_dataset(self, sample: Mapping, step: int) -> dict:
        """The ground truth of a dataset dict; 255 = not labeled."""
        return {"png": gray_url(shrunk_labels(self._known(semantic_truth(sample, len(self.classes))), step))}

    def of_output(self, output: Mapping, sample: Mapping, step: int) -> dict:
        """The label map predicted for one image; the mean `score` of its class in blocks, in percent of the scores of all classes;
        and the fraction of labeled pixels that are `right`, None if none is labeled."""
        scores = class_probabilities(output["sem_seg"]).amax(dim=0)
        labels, truth = output["sem_seg"].argmax(dim=0).cpu().numpy(), self._known(semantic_truth(sample, len(self.classes)))
        labeled = truth != IGNORE_LABEL
        return {
            "png": gray_url(shrunk_labels(labels, step)),
            "score": gray_url(_block_means(100 * scores.cpu().numpy(), SCORE_BLOCK * step)),
            "block": SCORE_BLOCK,
            "right": round(float((labels == truth)[labeled].mean()), 4) if labeled.any() else None,
        }

    def _known(self, labels: np.ndarray) -> np.ndarray:
        known = (labels >= 0) & (labels < len(self.classes)) & (labels != self._ignore_label)
        return np.where(known, labels, IGNORE_LABEL)


class Segments:
    """A panoptic segmentation: a class for each pixel, as in `LabelMaps`, and the outlines of the segments.

    Args:
        metadata: of the dataset, with `stuff_classes`, which are all classes, and `thing_dataset_id_to_contiguous_id`.
    """

    kind = "segments"

    def __init__(self, metadata: Metadata):
        self.palette = dataset_palette(metadata)
        self.classes = list(self.palette.names)
        self.colors = _in_bytes(self.palette)
        self._things = frozenset(metadata.thing_dataset_id_to_contiguous_id.values())

    def of_dataset(self, sample: Mapping, step: int) -> dict:
        """The ground truth of a dataset dict: the classes, 255 = not labeled; and for each segment its path `d`, its class `c`,
        whether it is an object (`thing`), and `crowd` if it is one."""
        ids, segments = read_segments(sample)
        items = [
            self._item(ids, segment, step) | ({"crowd": True} if segment.get("iscrowd", 0) else {}) for segment in segments
        ]
        return {"png": gray_url(shrunk_labels(classes_of_segments(ids, segments), step)), "items": items}

    def of_output(self, output: Mapping, sample: Mapping, step: int) -> dict:
        """The segments predicted for one image, with `m`: the position of the true segment that each finds, by the rules of the
        panoptic quality; -1 for none, and None for a segment that does not count, as most of it is not labeled."""
        found, segments = output["panoptic_seg"]
        ids, truth = found.cpu().numpy(), read_segments(sample)
        pairs = pair_segments(truth, (ids, segments))
        places = {segment["id"]: place for place, segment in enumerate(truth[1])}
        matches = {number: places[true] for number, (true, _) in pairs.right.items()} | dict.fromkeys(pairs.spurious, -1)
        return {
            "png": gray_url(shrunk_labels(classes_of_segments(ids, segments), step)),
            "items": [self._item(ids, segment, step) | {"m": matches.get(segment["id"])} for segment in segments],
        }

    def _item(self, ids: np.ndarray, segment: Mapping, step: int) -> dict:
        category = segment["category_id"]
        return {"d": mask_path(shrunk_labels(ids == segment["id"], step)), "c": category, "thing": category in self._things}


Answers = Objects | LabelMaps | Segments


def _in_bytes(palette: Palette) -> list[list[int]]:
    return [[round(255 * part) for part in color] for color in palette.colors]


def _block_means(values: np.ndarray, side: int) -> np.ndarray:
    """Means of [H, W] over squares of `side` px; those at the lower and right edges may be smaller."""
    rows, columns = np.arange(0, values.shape[0], side), np.arange(0, values.shape[1], side)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    heights, widths = (np.diff(np.append(starts, end)) for starts, end in zip((rows, columns), values.shape))
    return np.round(sums / np.outer(heights, widths))


#: A dataset's `evaluator_type` -> its answers, made from the metadata. A task that is not here has no tiles in the page.
ANSWERS: dict[str, Callable[[Metadata], Answers]] = {
    INSTANCE.kind: Objects,
    SEMANTIC.kind: LabelMaps,
    PANOPTIC.kind: Segments,
}
