"""The same model in both libraries, from one of our configs: equal outputs, whole and after the way there and back."""

import pytest
import torch
from detectron2.modeling import build_model

pytest.importorskip("transformers", reason="needs transformers, which is an extra: make test-extras")

from transformers import Mask2FormerForUniversalSegmentation  # noqa: E402

from imrsf_d2.checkpoint.files import write_weights  # noqa: E402
from imrsf_d2.data.loaders import build_test_loader, build_train_loader  # noqa: E402
from imrsf_d2.engine.configuration import load_config  # noqa: E402
from imrsf_d2.evaluation.sweep import sweep_subsets  # noqa: E402
from imrsf_d2.hf import SampleCollator, SampleSegmenter, load_weights, mask2former_config, weights_of  # noqa: E402
from imrsf_d2.hf.sweep import sweep_model  # noqa: E402
from imrsf_d2.modalities import ModalitySet  # noqa: E402
from tests.tiny import DEMO_CONFIGS, OVERRIDES  # noqa: E402

DATASETS = {"instance": "dfc2023_track2_val", "semantic": "dfc2023_track2_semantic_val"}


@pytest.fixture(params=sorted(DATASETS))
def task(request):
    return request.param


@pytest.fixture
def cfg(task, tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    return load_config(DEMO_CONFIGS[task], [*OVERRIDES, "MODEL.DEVICE", "cpu"])


@pytest.fixture
def pair(cfg, tmp_path):
    """Mask2Former's own model with weights that mean something, and that of transformers with the same."""
    ours = build_model(cfg).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        ours.sem_seg_head.predictor.class_embed.weight.mul_(20)  # not one class everywhere
    write_weights(tmp_path / "ours.pth", ours.state_dict())
    theirs = Mask2FormerForUniversalSegmentation(mask2former_config(cfg)).eval()
    load_weights(theirs, tmp_path / "ours.pth")
    return ours, theirs


def test_both_libraries_predict_the_same_and_score_the_same_with_every_subset(pair, cfg, task):
    ours, theirs = pair
    (dataset,) = cfg.DATASETS.TEST
    segmenter = SampleSegmenter(theirs, ("sem_seg", "instances"), cfg.TEST.DETECTIONS_PER_IMAGE)
    for samples in build_test_loader(cfg, dataset):
        with torch.no_grad():
            (expected,), (got,) = ours(samples), segmenter(samples)
        if task == "semantic":
            torch.testing.assert_close(got["sem_seg"], expected["sem_seg"], rtol=1e-4, atol=1e-4)
        else:
            scores = expected["instances"].scores
            torch.testing.assert_close(got["instances"].scores, scores.sort(descending=True).values, rtol=1e-4, atol=1e-4)
    rows, expected = sweep_model(cfg, theirs, dataset), sweep_subsets(cfg, ours, dataset)
    assert [row["modalities"] for row in rows] == [list(s) for s in ModalitySet.from_config(cfg).subsets()]
    for row, other in zip(rows, expected):
        assert row["modalities"] == other["modalities"]
        for kind, scores in other["results"].items():
            assert row["results"][kind] == pytest.approx(scores, abs=0.05, nan_ok=True)


def test_padded_images_of_a_batch_are_predicted_at_the_size_that_is_asked_for(pair, cfg, task):
    """Neither image fills the batch, and neither prediction has the size of its image."""
    ours, theirs = pair
    (dataset,) = cfg.DATASETS.TEST
    samples = [dict(sample) for batch in build_test_loader(cfg, dataset) for sample in batch][:2]
    for sample, crop, asked in zip(samples, ((41, 64), (64, 30)), ((97, 50), (33, 71))):
        sample["image"] = sample["image"][:, : crop[0], : crop[1]]
        sample["height"], sample["width"] = asked
    outputs = {"semantic": ("sem_seg",), "instance": ("instances",)}[task]
    with torch.no_grad():
        expected, got = ours(samples), SampleSegmenter(theirs, outputs, cfg.TEST.DETECTIONS_PER_IMAGE)(samples)
    for sample, wanted, found in zip(samples, expected, got, strict=True):
        size = (sample["height"], sample["width"])
        if task == "semantic":
            assert found["sem_seg"].shape[1:] == size
            torch.testing.assert_close(found["sem_seg"], wanted["sem_seg"], rtol=1e-4, atol=1e-4)
        else:
            order = wanted["instances"].scores.argsort(descending=True)
            torch.testing.assert_close(found["instances"].scores, wanted["instances"].scores[order], rtol=1e-4, atol=1e-4)
            assert found["instances"].pred_masks.shape[1:] == size
            differing = (found["instances"].pred_masks != wanted["instances"].pred_masks[order].bool()).float().mean()
            assert wanted["instances"].pred_masks.any() and differing < 1e-3


def test_all_weights_come_back(pair):
    ours, theirs = pair
    weights, expected = weights_of(theirs), ours.state_dict()
    assert weights.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(weights[name], expected[name])] == []


def test_our_mapper_feeds_it(cfg):
    model = Mask2FormerForUniversalSegmentation(mask2former_config(cfg)).train()
    samples = next(iter(build_train_loader(cfg)))
    batch = SampleCollator(model.config.backbone_config)(samples)
    assert [len(classes) for classes in batch["class_labels"]] == [len(sample["instances"]) for sample in samples]
    model(**batch).loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("task", ["semantic"], indirect=True)
def test_a_backbone_alone_is_loaded_and_what_does_not_fit_is_named(pair, cfg, tmp_path):
    ours, _ = pair
    backbone = {name: tensor for name, tensor in ours.state_dict().items() if name.startswith("backbone.")}
    write_weights(tmp_path / "pretrained.pth", backbone | {"decoders.rgb.weight": torch.ones(2)})
    model = Mask2FormerForUniversalSegmentation(mask2former_config(cfg))
    head = model.class_predictor.weight.clone()
    load_weights(model, tmp_path / "pretrained.pth")
    loaded = weights_of(model)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in backbone.items())
    assert torch.equal(model.class_predictor.weight, head)

    for weights, message in (
        ({"norm.weight": torch.ones(2)}, "holds no weights of a backbone or a Mask2Former"),
        ({n: t for n, t in backbone.items() if "fusion_tokens" not in n}, "it lacks 'model.*fusion_tokens'"),
        (backbone | {"backbone.patch_embed.lidar.weight": torch.ones(2)}, "the model lacks 'model.*lidar"),
        (backbone | {"backbone.norm.weight": torch.ones(2)}, r"norm.weight is \[2\], expected \[32\]"),
    ):
        write_weights(tmp_path / "other.pth", weights)
        with pytest.raises(ValueError, match=message):
            load_weights(model, tmp_path / "other.pth")

    cfg.defrost()
    cfg.MODEL.SEM_SEG_HEAD.PIXEL_DECODER_NAME = "BasePixelDecoder"
    with pytest.raises(ValueError, match="PIXEL_DECODER_NAME is 'BasePixelDecoder', expected 'MSDeformAttnPixelDecoder'"):
        mask2former_config(cfg)
    cfg.MODEL.IMRSF.MODALITIES = cfg.MODEL.IMRSF.MODALITIES[::-1]
    with pytest.raises(ValueError, match="in the same order, with the same statistics"):
        sweep_model(cfg, model, "dfc2023_track2_semantic_val")
