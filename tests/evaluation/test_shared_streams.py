"""A sweep that shares what the subsets have in common gives what separate runs give, and computes less."""

import math
import shutil

import numpy as np
import pytest
import rasterio
import torch
from detectron2.evaluation import inference_context, inference_on_dataset
from detectron2.modeling import build_model

from imrsf_d2.data.loaders import build_test_loader
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation import build_evaluator
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.shared_streams import SubsetModel, shares_streams
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.modalities import ModalitySet
from tests.modeling.test_subsets import rows_through_blocks
from tests.tiny import DEMO_CONFIGS, NUM_VAL, OVERRIDES, REPOSITORY, SIZE

#: folder of a modality -> the value that marks its pixels as holding no data, and where it is put
GAPS = {
    "sar": (np.nan, np.s_[:30]),
    "rgb": (0, np.s_[:, 20:45]),
    "dsm": (np.nan, np.s_[10:50, :33]),
    "s1": (np.nan, np.s_[:30]),
    "s2": (0, np.s_[:, 20:45]),
    "dem": (np.nan, np.s_[10:50, :33]),
    "dnw": (255, np.s_[40:]),
}


@pytest.fixture(scope="module")
def gappy_root(tiny_root, tmp_path_factory):
    """The tiny data with gaps in every sensor, at other places in each, and one file less in each layout."""
    root = tmp_path_factory.mktemp("gappy") / "datasets"
    shutil.copytree(tiny_root, root)
    for path in root.rglob("*.tif"):
        if path.parent.name in GAPS:
            value, where = GAPS[path.parent.name]
            with rasterio.open(path, "r+") as file:
                bands = file.read()
                bands[(..., *(where if isinstance(where, tuple) else (where, slice(None))))] = value
                file.write(bands)
    sorted((root / "dfc2023").rglob("sar/*Rio*.tif"))[0].unlink()
    return root


def tiny_model(task, root, monkeypatch, *opts):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    cfg = load_config(DEMO_CONFIGS[task], [*OVERRIDES, *opts])
    torch.manual_seed(3)
    model = build_model(cfg)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.sem_seg_head.predictor.class_embed.weight.mul_(20)  # not one class everywhere
    # The encoder in float64 (upstream's decoders know float32 alone): what they get then does not differ by so much
    # that a pixel close to a mask's threshold falls on the other side of it.
    model.backbone.double()
    model.pixel_mean, model.pixel_std = model.pixel_mean.double(), model.pixel_std.double()
    model.sem_seg_head.register_forward_pre_hook(
        lambda module, inputs: ({name: features.float() for name, features in inputs[0].items()},)
    )
    return cfg, model


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    if "sem_seg" in got:
        torch.testing.assert_close(got["sem_seg"], expected["sem_seg"], rtol=1e-5, atol=1e-5)
        return
    # The best candidates come in no order.
    fields = [
        sorted(
            zip(
                output["instances"].scores.tolist(),
                output["instances"].pred_classes.tolist(),
                output["instances"].pred_masks.flatten(1).tolist(),
            )
        )
        for output in (got, expected)
    ]
    for (score, label, mask), (other_score, other_label, other_mask) in zip(*fields, strict=True):
        assert score == pytest.approx(other_score, abs=1e-5) and (label, mask) == (other_label, other_mask)


@pytest.mark.parametrize("data", ["complete", "gappy"])
@pytest.mark.parametrize("task", DEMO_CONFIGS)
def test_scores_and_predictions_of_every_subset_equal_those_of_a_run_of_its_own(request, tiny_root, task, data, monkeypatch):
    root = tiny_root if data == "complete" else request.getfixturevalue("gappy_root")
    cfg, model = tiny_model(task, root, monkeypatch)
    (dataset,) = cfg.DATASETS.TEST
    subsets = ModalitySet.from_config(cfg).subsets()
    assert shares_streams(model)
    rows = sweep_subsets(cfg, model, dataset)
    if task == "lulc":  # the other two tasks' scores are the same for all subsets of an untrained model
        assert len({row["results"]["sem_seg"]["mIoU"] for row in rows}) > 10
    complete = build_test_loader(cfg, dataset)
    with inference_context(model), torch.no_grad():
        shared = [list(SubsetModel(model, subsets)(inputs)) for inputs in complete]
        seen = set()
        for number, (subset, row) in enumerate(zip(subsets, rows, strict=True)):
            loader = build_test_loader(cfg, dataset, modalities=subset)
            expected = inference_on_dataset(model, loader, build_evaluator(cfg, dataset))
            assert tuple(row["modalities"]) == subset and row["results"].keys() == expected.keys()
            for kind in expected:
                assert row["results"][kind] == pytest.approx(expected[kind], abs=1e-6, nan_ok=True)
            for outputs, inputs in zip(shared, loader, strict=True):
                (output,), (alone,) = outputs[number], model(inputs)
                assert_same(output, alone)
            seen.add(str(shared[-1][number][0]))
        assert len(seen) == len(subsets)  # they differ, so that the comparison means something


@pytest.mark.parametrize("task", ["instance", "lulc"])
def test_a_sweep_passes_each_stream_once_an_image(tiny_root, task, monkeypatch):
    cfg, model = tiny_model(task, tiny_root, monkeypatch)
    (dataset,) = cfg.DATASETS.TEST
    image = torch.empty(SIZE, SIZE)
    names = ModalitySet.from_config(cfg).names
    batches = list(build_test_loader(cfg, dataset))
    assert all(batch[0]["modalities"] == names for batch in batches)
    # Patches that hold no data have no token.
    present = torch.cat([model.backbone.read(batch[0]["image"][None]).present for batch in batches])
    streams, fusion = int(present.sum()), NUM_VAL * present.shape[2] * (2 ** len(names) - 1)
    assert streams > 0.9 * present.numel()
    count = lambda **options: rows_through_blocks(  # noqa: E731
        model.backbone, image, lambda: sweep_subsets(cfg, model, dataset, **options)
    )
    assert count() == (streams + fusion) // present.shape[2]
    assert count(subsets_per_pass=1) == (streams * 2 ** (len(names) - 1) + fusion) // present.shape[2]


@pytest.mark.parametrize("name", ["fpn", "vitdet"])
def test_below_a_feature_pyramid_streams_are_shared_too(gappy_root, name, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(gappy_root))
    small = ["MODEL.IMRSF.EMBED_DIM", "32", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0", "DATALOADER.NUM_WORKERS", "0"]
    cfg = load_config(REPOSITORY / f"configs/quick/dfc2023_mask_rcnn_{name}.yaml", small)
    model = build_model(cfg).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.backbone.double()  # see `tiny_model`; upstream's NMS, too, knows float32 alone
    model.pixel_mean, model.pixel_std = model.pixel_mean.double(), model.pixel_std.double()
    model.backbone.register_forward_hook(lambda module, inputs, maps: {key: values.float() for key, values in maps.items()})
    (dataset,) = cfg.DATASETS.TEST
    subsets = ModalitySet.from_config(cfg).subsets()
    counted = {}

    def predict(subset=None):
        with torch.no_grad():
            if subset is None:
                return [list(SubsetModel(model, subsets)(inputs)) for inputs in build_test_loader(cfg, dataset)]
            return [model(inputs) for inputs in build_test_loader(cfg, dataset, modalities=subset)]

    encoder = model.backbone.bottom_up if name == "fpn" else model.backbone.net
    image = torch.empty(SIZE, SIZE)
    counted["shared"] = rows_through_blocks(encoder, image, lambda: counted.update(predictions=predict()))
    alone = {}
    counted["alone"] = rows_through_blocks(
        encoder, image, lambda: alone.update({subset: predict(subset) for subset in subsets})
    )
    assert counted["shared"] < 0.6 * counted["alone"]
    for number, subset in enumerate(subsets):
        for outputs, (expected,) in zip(counted["predictions"], alone[subset], strict=True):
            assert len(expected["instances"]) > 1
            assert_same(outputs[number][0], expected)
    assert len({str(outputs[-1]) for outputs in alone.values()}) == len(subsets)  # of an image with all sensors


@pytest.mark.parametrize(
    "opts",
    [
        ["MODEL.IMRSF.MASKED_ATTENTION", "False"],
        ["MODEL.IMRSF.ABSENT", "zeros"],
        ["MODEL.BACKBONE.NAME", "build_resnet_backbone"],
    ],
    ids=lambda opts: opts[0],
)
def test_where_nothing_can_be_shared_each_subset_has_its_own_pass(tiny_root, opts, monkeypatch, tmp_path):
    extra = (
        [
            "MODEL.RESNETS.OUT_FEATURES",
            "['res2', 'res3', 'res4', 'res5']",
            "MODEL.RESNETS.DEPTH",
            "18",
            "MODEL.RESNETS.RES2_OUT_CHANNELS",
            "64",
        ]
        if "BACKBONE" in opts[0]
        else []
    )
    cfg, model = tiny_model("semantic", tiny_root, monkeypatch, *opts, *extra)
    assert not shares_streams(model)
    (dataset,) = cfg.DATASETS.TEST
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][0]["modalities"]))
    subsets = [("sar", "rgb", "dsm"), ("dsm",)]
    rows = sweep_subsets(cfg, model, dataset, subsets, str(tmp_path))
    assert seen == [subset for subset in subsets for _ in range(NUM_VAL)]
    assert all(not math.isnan(row["results"]["sem_seg"]["mIoU"]) for row in rows)


def test_the_model_is_as_before_even_after_an_error(tiny_root, monkeypatch):
    cfg, model = tiny_model("semantic", tiny_root, monkeypatch)
    backbone, names = model.backbone, list(model.state_dict())
    inputs = next(iter(build_test_loader(cfg, cfg.DATASETS.TEST[0])))
    outputs = SubsetModel(model, [("sar",), ("rgb",)]).eval()(inputs)
    with torch.no_grad():
        next(outputs)
        assert model.backbone is backbone and list(model.state_dict()) == names
        monkeypatch.setattr(model, "semantic_inference", lambda *_: (_ for _ in ()).throw(RuntimeError("broken")))
        with pytest.raises(RuntimeError, match="broken"):
            next(outputs)
    assert model.backbone is backbone


@pytest.mark.parametrize("training", [False, True])
def test_a_sweep_leaves_the_model_in_its_mode(tiny_root, monkeypatch, training):
    cfg, model = tiny_model("semantic", tiny_root, monkeypatch)
    model.train(training)
    sweep_subsets(cfg, model, cfg.DATASETS.TEST[0], [("sar",)])
    assert {module.training for module in model.modules()} == {training}


def test_a_killed_sweep_goes_on_with_the_passes_that_are_left(tiny_root, monkeypatch, tmp_path):
    cfg, model = tiny_model("semantic", tiny_root, monkeypatch)
    (dataset,) = cfg.DATASETS.TEST
    expected = sweep_subsets(cfg, model, dataset)
    record = SweepRecord(tmp_path)
    record.claim({})
    calls = []

    def count(module, inputs):
        calls.append(inputs)
        if len(calls) == 4 * NUM_VAL + 1:  # in the first image of the third pass
            raise KeyboardInterrupt

    hook = model.register_forward_pre_hook(count)
    with pytest.raises(KeyboardInterrupt):
        sweep_subsets(cfg, model, dataset, record=record, subsets_per_pass=2)
    subsets = ModalitySet.from_config(cfg).subsets()
    assert [record.has(subset) for subset in subsets] == [True] * 4 + [False] * 3
    rows = sweep_subsets(cfg, model, dataset, record=record, subsets_per_pass=2)
    assert len(calls) == (4 + 3) * NUM_VAL + 1
    hook.remove()
    assert [row["results"] for row in rows] == [row["results"] for row in expected]
    for row in rows:  # what the bootstrap needs is there, and fits
        score = record.images(row["modalities"]).scores(np.ones((1, NUM_VAL), int))[0]
        assert score == pytest.approx(row["results"]["sem_seg"]["mIoU"])
    monkeypatch.setattr("imrsf_d2.evaluation.sweep.build_evaluator", lambda *_: pytest.fail("nothing is left to do"))
    assert sweep_subsets(cfg, model, dataset, record=record) == rows
