"""Scoring building instances: encoding the predicted masks of many images, and computing COCO's averages over them."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances

from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from projects.benchmarks.cases import Case
from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import Measurement

__all__ = ["benchmark_evaluation"]

NAME = "imrsf_benchmark_evaluation"
SIZE = 512
NUM_MASKS = 100


def benchmark_evaluation(case: Case, repeats: int = 3) -> list[Result]:
    """Score `case.num_scored_images` images, each with 100 predicted masks and 100 annotated buildings."""
    images = case.num_scored_images
    process, evaluate = [], []
    with tempfile.TemporaryDirectory() as folder, _register(Path(folder), images) as truth:
        for _ in range(repeats):
            evaluator = InstanceEvaluator(NAME)
            rng = np.random.default_rng(1)
            seconds = 0.0
            for image, boxes in enumerate(truth):
                predicted = _predict(boxes, rng)
                start = time.perf_counter()
                evaluator.process([{"image_id": image}], [{"instances": predicted}])
                seconds += time.perf_counter() - start
            start = time.perf_counter()
            evaluator.evaluate()
            process.append(seconds)
            evaluate.append(time.perf_counter() - start)
    timings = {
        "process predictions (RLE masks, boxes)": Measurement(tuple(process)),
        "score boxes and masks": Measurement(tuple(evaluate)),
    }
    each = tuple((a + b) / images * 1e3 for a, b in zip(process, evaluate))
    return [
        Result(
            f"Evaluation of instances, {images} images",
            [Line("both, per image", each, unit=" ms")],
            timings,
            [
                f"{NUM_MASKS} predicted masks of {SIZE} x {SIZE} px and as many annotated polygons per image; COCO "
                "AP, AP50 etc. of boxes and masks."
            ],
        )
    ]


@contextlib.contextmanager
def _register(folder: Path, images: int) -> Iterator[np.ndarray]:
    """Register a dataset of rectangular buildings within the context; yields their boxes, [I, 100, 4]."""
    rng = np.random.default_rng(0)
    corner, side = rng.integers(0, SIZE - 40, (images, NUM_MASKS, 2)), rng.integers(8, 40, (images, NUM_MASKS, 2))
    truth = np.concatenate([corner, corner + side], axis=2)
    annotations = [
        {
            "id": i * NUM_MASKS + n + 1,
            "image_id": i,
            "category_id": 1,
            "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
        }
        for i, boxes in enumerate(truth.tolist())
        for n, (left, top, right, bottom) in enumerate(boxes)
    ]
    path = folder / "labels.json"
    path.write_text(
        json.dumps(
            {
                "images": [{"id": i, "file_name": f"{i}.tif", "height": SIZE, "width": SIZE} for i in range(images)],
                "annotations": annotations,
                "categories": [{"id": 1, "name": "building"}],
            }
        )
    )
    DatasetCatalog.register(NAME, lambda: [{"image_id": i} for i in range(images)])
    MetadataCatalog.get(NAME).set(json_file=str(path), thing_classes=["building"], thing_dataset_id_to_contiguous_id={1: 0})
    try:
        yield truth
    finally:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def _predict(boxes: np.ndarray, rng: np.random.Generator) -> Instances:
    """The buildings as predictions, each shifted by up to 6 px, with random scores."""
    masks = torch.zeros(len(boxes), SIZE, SIZE)
    for mask, (left, top, right, bottom) in zip(masks, np.clip(boxes + rng.integers(-6, 7, (len(boxes), 1)), 0, SIZE)):
        mask[top:bottom, left:right] = 1
    return Instances(
        (SIZE, SIZE),
        pred_masks=masks,
        scores=torch.from_numpy(rng.random(len(boxes))),
        pred_classes=torch.zeros(len(boxes), dtype=torch.long),
    )
