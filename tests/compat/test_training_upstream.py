"""What is installed trains a MaskFormer, and its evaluation gives the numbers of pycocotools."""

import json

import numpy as np
import pytest
import torch

from imrsf_d2.compat import upstream

upstream.prepare()

from detectron2.config import get_cfg  # noqa: E402
from detectron2.data import DatasetCatalog, MetadataCatalog  # noqa: E402
from detectron2.evaluation import COCOEvaluator  # noqa: E402
from detectron2.modeling import build_model  # noqa: E402
from detectron2.projects.deeplab import add_deeplab_config  # noqa: E402
from detectron2.structures import BitMasks, Boxes, Instances  # noqa: E402
from mask2former import add_maskformer2_config  # noqa: E402
from pycocotools import mask as mask_util  # noqa: E402
from pycocotools.coco import COCO  # noqa: E402
from pycocotools.cocoeval import COCOeval  # noqa: E402


def small_maskformer(device):
    """MaskFormer on a ResNet-18 with the MSDeformAttn pixel decoder, for one class of instances."""
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_maskformer2_config(cfg)
    MetadataCatalog.get("upstream_one_class").set(thing_classes=["building"], thing_dataset_id_to_contiguous_id={1: 0})
    features = ["res2", "res3", "res4", "res5"]
    cfg.merge_from_list(
        ["MODEL.DEVICE", device, "MODEL.META_ARCHITECTURE", "MaskFormer", "DATASETS.TRAIN", ("upstream_one_class",)]
        + ["MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.BACKBONE.FREEZE_AT", 0]
        + ["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64, "MODEL.RESNETS.NORM", "BN"]
        + ["MODEL.RESNETS.OUT_FEATURES", features, "MODEL.SEM_SEG_HEAD.NAME", "MaskFormerHead"]
        + ["MODEL.SEM_SEG_HEAD.PIXEL_DECODER_NAME", "MSDeformAttnPixelDecoder", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 1]
        + ["MODEL.SEM_SEG_HEAD.IN_FEATURES", features, "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS", 1]
        + ["MODEL.SEM_SEG_HEAD.DEFORMABLE_TRANSFORMER_ENCODER_IN_FEATURES", features[1:]]
        + ["MODEL.SEM_SEG_HEAD.CONVS_DIM", 32, "MODEL.SEM_SEG_HEAD.MASK_DIM", 32]
        + ["MODEL.MASK_FORMER.TRANSFORMER_DECODER_NAME", "MultiScaleMaskedTransformerDecoder"]
        + ["MODEL.MASK_FORMER.TRANSFORMER_IN_FEATURE", "multi_scale_pixel_decoder"]
        + ["MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", 8, "MODEL.MASK_FORMER.HIDDEN_DIM", 32, "MODEL.MASK_FORMER.NHEADS", 4]
        + ["MODEL.MASK_FORMER.DEC_LAYERS", 3, "MODEL.MASK_FORMER.DIM_FEEDFORWARD", 32]
        + ["MODEL.MASK_FORMER.TRAIN_NUM_POINTS", 64, "MODEL.MASK_FORMER.DEEP_SUPERVISION", True]
        + ["MODEL.MASK_FORMER.CLASS_WEIGHT", 2.0, "MODEL.MASK_FORMER.MASK_WEIGHT", 5.0]
        + ["MODEL.MASK_FORMER.DICE_WEIGHT", 4.0, "TEST.DETECTIONS_PER_IMAGE", 8]
        + ["MODEL.MASK_FORMER.TEST.SEMANTIC_ON", False, "MODEL.MASK_FORMER.TEST.INSTANCE_ON", True]
    )
    return build_model(cfg)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_maskformer_trains_and_finds_instances(device):
    model = small_maskformer(device)
    weights = model.criterion.weight_dict
    assert {name: weights[name] for name in ("loss_ce", "loss_mask", "loss_dice")} == dict(
        loss_ce=2.0, loss_mask=5.0, loss_dice=4.0
    )
    assert set(weights) == {f"{loss}{layer}" for loss in ("loss_ce", "loss_mask", "loss_dice") for layer in ("", "_0", "_1")}

    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 8:24, 8:24] = masks[1, 32:56, 30:50] = True
    instances = Instances((64, 64), gt_classes=torch.zeros(2, dtype=torch.int64), gt_masks=masks)
    batch = [{"image": torch.rand(3, 64, 64) * 255, "instances": instances, "height": 64, "width": 64}] * 2
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        terms = model(batch)
        assert set(terms) == set(weights)
        losses.append(sum(terms.values()))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    with torch.no_grad():
        found = model.eval()(batch[:1])[0]["instances"]
    assert len(found) == 8
    assert found.pred_masks.shape == (8, 64, 64)
    assert found.scores.isfinite().all()


def rectangles(seed: int, count: int, size: int = 96) -> np.ndarray:
    """[count, size, size] bool masks of random rectangles."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, size, size), dtype=bool)
    for mask in masks:
        (y, x), (h, w) = rng.integers(0, size - 40, 2), rng.integers(6, 40, 2)
        mask[y : y + h, x : x + w] = True
    return masks


def encode(mask: np.ndarray) -> dict:
    rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def test_perfect_predictions_score_100(tmp_path):
    """Through detectron2's own evaluator; polygons and RLE mixed, as in real footprint labels."""
    name = "upstream_perfect"
    masks = {image_id: rectangles(image_id, 5) for image_id in range(3)}

    def annotation(mask, as_polygon):
        ys, xs = np.nonzero(mask)
        x0, y0, x1, y1 = (int(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        polygon = [[x0, y0, x1, y0, x1, y1, x0, y1]]
        return dict(bbox=[x0, y0, x1, y1], bbox_mode=0, category_id=0, segmentation=polygon if as_polygon else encode(mask))

    def dataset():
        return [
            dict(file_name=f"{i}.png", image_id=i, height=96, width=96)
            | {"annotations": [annotation(mask, as_polygon=j % 2 == 0) for j, mask in enumerate(masks[i])]}
            for i in masks
        ]

    DatasetCatalog.register(name, dataset)
    MetadataCatalog.get(name).set(thing_classes=["building"], thing_dataset_id_to_contiguous_id={1: 0})
    try:
        evaluator = COCOEvaluator(name, tasks=("segm", "bbox"), distributed=False, output_dir=str(tmp_path))
        evaluator.reset()
        for image_id, image_masks in masks.items():
            tensor = torch.from_numpy(image_masks)
            found = Instances((96, 96), pred_masks=tensor, pred_boxes=Boxes(BitMasks(tensor).get_bounding_boxes().tensor))
            found.scores = torch.linspace(0.9, 0.5, len(tensor))
            found.pred_classes = torch.zeros(len(tensor), dtype=torch.int64)
            evaluator.process([{"image_id": image_id}], [{"instances": found}])
        results = evaluator.evaluate()
    finally:
        DatasetCatalog.remove(name)
    for task in ("segm", "bbox"):
        assert results[task]["AP"] == pytest.approx(100)
        assert results[task]["AP50"] == pytest.approx(100)


@pytest.mark.parametrize("task", ["segm", "bbox"])
def test_fast_evaluation_gives_the_numbers_of_pycocotools(task, tmp_path):
    """Two classes, shifted and missed and invented objects, a crowd region: every one of the 12 statistics agrees."""
    from detectron2.evaluation.fast_eval_api import COCOeval_opt

    rng = np.random.default_rng(3)
    images, annotations, detections = [], [], []
    for image_id in range(1, 7):
        images.append(dict(id=image_id, height=96, width=96))
        for mask in rectangles(image_id, 8):
            category, rle = int(rng.integers(1, 3)), encode(mask)
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image_id, category_id=category, segmentation=rle)
                | dict(area=int(mask.sum()), bbox=mask_util.toBbox(rle).tolist(), iscrowd=int(rng.random() < 0.1))
            )
            for _ in range(rng.integers(0, 3)):
                found = encode(np.roll(mask, rng.integers(-4, 5, 2), (0, 1)))
                detections.append(
                    dict(image_id=image_id, category_id=category if rng.random() < 0.8 else 3 - category)
                    | dict(segmentation=found, bbox=mask_util.toBbox(found).tolist(), score=float(rng.random()))
                )
    path = tmp_path / "truth.json"
    categories = [dict(id=1, name="a"), dict(id=2, name="b")]
    path.write_text(json.dumps(dict(info={}, images=images, annotations=annotations, categories=categories)))
    if task == "segm":  # as detectron2 does: else the area of the box decides what is small, medium, large
        detections = [{k: v for k, v in d.items() if k != "bbox"} for d in detections]

    stats = []
    for evaluate in (COCOeval_opt, COCOeval):
        truth = COCO(str(path))
        evaluation = evaluate(truth, truth.loadRes(json.loads(json.dumps(detections))), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        stats.append(np.asarray(evaluation.stats)[:12])
    assert 0.05 < stats[1][0] < 0.9  # imperfect, or there would be nothing to compare
    np.testing.assert_allclose(*stats, atol=1e-6)
