"""Damaged and odd COCO files, and checkpoints."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances
from pycocotools import mask as coco_mask
from torch import nn

from imrsf_d2.checkpoint.files import read_weights, write_weights
from imrsf_d2.data.datasets.coco import load_coco
from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from tests.fuzz.damage import damage_bytes, damage_tree

__all__ = ["checkpoint_case", "coco_case"]

SIDE = 16
PERFECT = 100.0


def coco_case(folder: Path, draw: random.Random) -> tuple[str, object, object]:
    """A COCO file; the package's answer is the AP of perfect predictions, which is 100 or the file is refused.

    Returns:
        What is odd about it; a call that gives that AP; a call that gives 100, or None where the file holds nothing that
        could be scored.
    """
    path = folder / "labels.json"
    tree = _tree(draw)
    kind = "plain"
    if draw.random() < 0.8:
        kind, tree = damage_tree(tree, draw)
    content = json.dumps(tree).encode()
    if draw.random() < 0.2:
        kind, content = damage_bytes(content, draw)
    path.write_bytes(content)
    return kind, lambda: _score_of_the_truth(path), lambda: PERFECT


def checkpoint_case(folder: Path, draw: random.Random) -> tuple[str, object, object]:
    """A file of weights; the package's answer is what a model holds after it was loaded."""
    generator = torch.Generator().manual_seed(draw.randrange(2**31))
    weights = {f"backbone.layer{i}.weight": torch.randn(4, 3, generator=generator) for i in range(3)}
    path = folder / draw.choice(("model.pth", "model.safetensors"))
    write_weights(path, weights)
    kind = "plain"
    if draw.random() < 0.25 and path.suffix == ".pth":
        kind, content = damage_tree({"model": {name: index for index, name in enumerate(weights)}, "iteration": 3}, draw)
        torch.save(content, path)
    elif draw.random() < 0.85:
        kind, content = damage_bytes(path.read_bytes(), draw)
        path.write_bytes(content)
    return kind, lambda: _loaded(path), lambda: _held(path)


def agree(got: object, expected: object) -> bool:
    """Whether a score, or a model's weights, are as they should be."""
    if isinstance(got, dict):
        return got.keys() == expected.keys() and all(
            torch.equal(got[name].nan_to_num(), expected[name].nan_to_num()) for name in got
        )
    return got is None or got == expected


def _tree(draw: random.Random) -> dict:
    images = [{"id": i, "file_name": f"{i}.tif", "height": SIDE, "width": SIDE} for i in range(1, 4)]
    annotations = []
    for number in range(draw.randrange(1, 6)):
        x, y, w, h = draw.randrange(0, 8), draw.randrange(0, 8), draw.randrange(3, 8), draw.randrange(3, 8)
        mask = np.zeros((SIDE, SIDE), dtype=np.uint8, order="F")
        mask[y : y + h, x : x + w] = 1
        rle = coco_mask.encode(mask)
        runs = np.diff(np.flatnonzero(np.diff(mask.ravel("F"), prepend=2, append=2)))
        segmentation = draw.choice(
            (
                [[x, y, x + w, y, x + w, y + h, x, y + h]],
                {"size": [SIDE, SIDE], "counts": rle["counts"].decode()},
                {"size": [SIDE, SIDE], "counts": ([0] if mask[0, 0] else []) + runs.tolist()},
            )
        )
        annotations.append(
            {
                "id": number + 1,
                "image_id": draw.randrange(1, 4),
                "category_id": 1,
                "iscrowd": 0,
                "area": w * h,
                "bbox": [x, y, w, h],
                "segmentation": segmentation,
            }
        )
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "building"}]}


def _score_of_the_truth(path: Path) -> float | None:
    """The AP of predictions that are the file's own masks, as pycocotools rasterizes them; None if it has none."""
    name = "fuzz"
    samples = load_coco(path, [1])
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog:
            catalog.remove(name)
    DatasetCatalog.register(name, lambda: load_coco(path, [1]))
    MetadataCatalog.get(name).set(json_file=str(path), thing_classes=["building"], thing_dataset_id_to_contiguous_id={1: 0})
    evaluator = InstanceEvaluator(name, distributed=False)
    objects = 0
    for sample in samples:
        size = sample["height"], sample["width"]
        masks = [
            _mask(annotation["segmentation"], *size) for annotation in sample["annotations"] if not annotation["iscrowd"]
        ]
        if any(not mask.any() for mask in masks):
            return None  # an annotation that marks nothing, of which the loader has warned
        objects += len(masks)
        found = Instances(size)
        found.pred_masks = torch.from_numpy(np.reshape(masks, (-1, *size))).float()
        found.scores, found.pred_classes = torch.ones(len(masks)), torch.zeros(len(masks), dtype=torch.int64)
        evaluator.process([sample], [{"instances": found}])
    score = evaluator.evaluate()["segm"]["AP"]
    return score if objects else None


def _mask(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, dict):
        code = (
            segmentation if isinstance(segmentation["counts"], str) else coco_mask.frPyObjects(segmentation, height, width)
        )
        return coco_mask.decode(code).astype(bool)
    polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))).astype(bool)


class _Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        for i in range(3):
            layer = nn.Linear(3, 4, bias=False)
            nn.init.constant_(layer.weight, 7)
            self.backbone.add_module(f"layer{i}", layer)


def _loaded(path: Path) -> dict:
    model = _Model()
    Checkpointer(model).load(str(path))
    return {name: value for name, value in model.state_dict().items() if not (value == 7).all()}


def _held(path: Path) -> dict:
    shapes = {name: value.shape for name, value in _Model().state_dict().items()}
    return {name: tensor.float() for name, tensor in read_weights(path).items() if shapes.get(name) == tensor.shape}
