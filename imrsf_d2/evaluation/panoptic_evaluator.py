"""PQ of panoptic segmentations."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from imrsf_d2.data.panoptic import read_segments
from imrsf_d2.evaluation.panoptic_quality import Matches, match_segments, panoptic_scores
from imrsf_d2.evaluation.per_image import PanopticImages
from imrsf_d2.evaluation.score_keys import check_score_keys
from imrsf_d2.evaluation.tables import markdown_table
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError

__all__ = ["PanopticEvaluator"]

logger = logging.getLogger(__name__)


class PanopticEvaluator(DatasetEvaluator):
    """PQ, SQ and RQ, in percent, of all classes, things, stuff and each class, over the images of one registered split.

    Args:
        dataset_name: a registered dataset whose metadata has `stuff_classes`, all classes, and
            `thing_dataset_id_to_contiguous_id`, whose values are the indices of things.
        output_dir: folder for `panoptic.json`; None writes nothing.

    Raises:
        InputError: if two samples have the same image_id, or two classes the same name.
    """

    def __init__(self, dataset_name: str, *, output_dir: str | None = None):
        self._dataset_name = dataset_name
        # First, as the classes of a dataset may be known only after loading it.
        samples = DatasetCatalog.get(dataset_name)
        self._samples = {sample["image_id"]: sample for sample in samples}
        metadata = MetadataCatalog.get(dataset_name)
        self._classes = list(metadata.stuff_classes)
        self._things = frozenset(metadata.thing_dataset_id_to_contiguous_id.values())
        check_score_keys(dataset_name, samples, self._classes)
        # The last one is cached: copies of an evaluator, which share the cache, compare several predictions with it.
        self._truth = functools.lru_cache(maxsize=1)(self._read_truth)
        self.output_dir = output_dir
        self.reset()

    def reset(self) -> None:
        """Discard all predictions."""
        self._matches: dict[object, Matches] = {}

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Add the predictions for some images.

        Args:
            inputs: mapped samples; only their `image_id` is used.
            outputs: {"panoptic_seg": (ids [H, W], segments with `id` and `category_id`)} each, of the size of the labels.

        Raises:
            InputError: if the model outputs no panoptic segmentation or unknown classes, or the labels are not valid.
        """
        for sample, output in zip(inputs, outputs, strict=True):
            if "panoptic_seg" not in output:
                raise InputError(
                    f"the model outputs {sorted(output)}, expected a panoptic segmentation to score on {self._dataset_name!r}: set "
                    "MODEL.MASK_FORMER.TEST.PANOPTIC_ON True."
                )
            image_id, (ids, segments) = sample["image_id"], output["panoptic_seg"]
            truth, found = self._truth(image_id), ids.cpu().numpy()
            if found.shape != truth[0].shape:
                raise InputError(
                    f"the prediction for image {image_id!r} of {self._dataset_name!r} is {found.shape} px, its labels are "
                    f"{truth[0].shape} px (height, width): `height` and `width` of its sample must be those of the labels."
                )
            self._check_classes(segments)
            self._matches[image_id] = match_segments(truth, (found, segments), len(self._classes))

    def _check_classes(self, segments: Sequence[Mapping]) -> None:
        if beyond := [segment for segment in segments if not 0 <= segment["category_id"] < len(self._classes)]:
            raise InputError(
                f"the model predicts the class {beyond[0]['category_id']}, but {self._dataset_name!r} has {len(self._classes)} "
                f"({', '.join(self._classes)}): set MODEL.SEM_SEG_HEAD.NUM_CLASSES."
            )

    def _read_truth(self, image_id) -> tuple[np.ndarray, list[Mapping]]:
        return read_segments(self._samples[image_id])

    def evaluate(self) -> dict:
        """Score all predictions.

        Returns:
            {"panoptic_seg": scores} as returned by `panoptic_scores`; empty in other processes than the first.

        Raises:
            InputError: if no image has a segment.
        """
        shares = comm.gather(self._matches)  # an empty list in other processes
        if not comm.is_main_process():
            return {}
        self._matches = {image_id: matches for share in shares for image_id, matches in share.items()}
        images = self.per_image()
        total = images.total()
        if not (total.right + total.missed).any():
            raise InputError(
                f"no image of {self._dataset_name!r} has a segment: there is nothing to compare predictions with. Expected segments_info "
                "in its COCO file, and their ids in the PNGs."
            )
        scores = panoptic_scores(total, self._classes, self._things)
        rows = [
            [name, *(f"{scores[f'{metric}-{name}']:.2f}" for metric in ("PQ", "SQ", "RQ")), str(number)]
            for name, number in zip(self._classes, total.right + total.missed)
        ]
        logger.debug(
            "%s: PQ %.2f, of things %.2f, of stuff %.2f; of each class in percent:\n%s",
            self._dataset_name,
            *(scores[metric] for metric in ("PQ", "PQ_th", "PQ_st")),
            markdown_table(["class", "PQ", "SQ", "RQ", "segments"], rows, centered=1),
        )
        if self.output_dir:
            counts = {name: getattr(total, name).tolist() for name in ("iou", "right", "spurious", "missed")}
            write_text(os.path.join(self.output_dir, "panoptic.json"), json.dumps({"classes": self._classes, **counts}))
        return {"panoptic_seg": scores}

    def per_image(self) -> PanopticImages:
        """What each image contributes, in the order of the dataset; to be called after `evaluate`, in the first process."""
        return PanopticImages.of({one: self._matches[one] for one in self._samples if one in self._matches})
