"""detectron2 and Mask2Former, as installed here, are usable; and builds that need nothing are left alone."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, SimpleNamespace

import numpy as np
import pytest
import torch

from imrsf_d2.compat import upstream
from imrsf_d2.compat.msdeform import CPU_OP, PLAIN_OP

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


def run_python(code: str, path: str = "") -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter: what is imported there is nobody else's. `path` goes before everything installed."""
    search = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": search},
    )


# prepare


def test_prepare_twice_changes_nothing():
    import mask2former.maskformer_model as model
    import mask2former.modeling.pixel_decoder.ops.modules.ms_deform_attn as op

    before = (model.SetCriterion, op.MSDeformAttnFunction, op.ms_deform_attn_core_pytorch)
    upstream.prepare()
    upstream.prepare()
    after = (model.SetCriterion, op.MSDeformAttnFunction, op.ms_deform_attn_core_pytorch)
    assert all(a is b for a, b in zip(before, after))


def test_op_can_be_forced_to_plain_and_back():
    best = upstream.verify_op("cpu")
    try:
        upstream.prepare("plain")
        assert upstream.verify_op("cpu") == PLAIN_OP
    finally:
        upstream.prepare("auto")
    assert upstream.verify_op("cpu") == best


def test_unknown_op_is_an_error():
    with pytest.raises(ValueError, match="'fast'.*'auto', 'plain'"):
        upstream.prepare("fast")


@pytest.mark.parametrize("package", ["detectron2", "mask2former"])
def test_missing_package_is_an_error_with_the_remedy(package):
    result = run_python(f"""
        import importlib.util as util
        real = util.find_spec
        util.find_spec = lambda name, *a: None if name == {package!r} else real(name, *a)
        from imrsf_d2.compat import upstream
        upstream.prepare()
    """)
    assert result.returncode == 1
    assert f"UpstreamError: {package} is not installed" in result.stderr
    assert "make env" in result.stderr


def test_healthy_source_build_is_untouched():
    """With the source-built extension and a GPU, neither the op, nor the slow path, nor the criterion is replaced."""
    result = run_python("""
        import sys, types, torch
        torch.cuda.is_available = lambda: True
        extension = types.ModuleType("MultiScaleDeformableAttention")
        extension.ms_deform_attn_forward = extension.ms_deform_attn_backward = lambda *args: None
        sys.modules["MultiScaleDeformableAttention"] = extension
        sys.modules["detectron2._C"] = types.ModuleType("detectron2._C")
        import detectron2
        detectron2._C = sys.modules["detectron2._C"]
        import mask2former.modeling.criterion as criterion

        class SetCriterion(criterion.SetCriterion):
            def __init__(self, num_classes, matcher, weight_dict, eos_coef, losses, num_points, **kwargs): ...

        criterion.SetCriterion = SetCriterion
        import mask2former.maskformer_model as model
        model.SetCriterion = SetCriterion
        import mask2former.modeling.pixel_decoder.ops.modules.ms_deform_attn as op
        from mask2former.modeling.pixel_decoder.ops.functions import ms_deform_attn_func as source

        from imrsf_d2.compat import upstream
        upstream.prepare()
        assert op.MSDeformAttnFunction is source.MSDeformAttnFunction, op.MSDeformAttnFunction
        assert op.ms_deform_attn_core_pytorch is source.ms_deform_attn_core_pytorch
        assert model.SetCriterion is SetCriterion
        import detectron2.evaluation.fast_eval_api as fast
        assert fast.__file__ and fast.COCOeval_opt.__module__ == "detectron2.evaluation.fast_eval_api"
    """)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def uncompiled_source(tmp_path):
    """A folder with Mask2Former as its source is before `make.sh`: at import it insists on the extension."""
    installed = Path(find_spec("mask2former").origin).parent
    shutil.copytree(installed, tmp_path / "mask2former", ignore=shutil.ignore_patterns("__pycache__"))
    function = tmp_path / "mask2former/modeling/pixel_decoder/ops/functions/ms_deform_attn_func.py"
    text = function.read_text()
    if "    raise ModuleNotFoundError(info_string)" not in text:  # as in the source; a copy has changed it
        assert text.count("    MSDA = None") == 1
        function.write_text(text.replace("    MSDA = None", "    raise ModuleNotFoundError(info_string)"))
    return tmp_path


def test_source_without_its_compiled_op_is_used_with_another(uncompiled_source):
    result = run_python(
        """
        import importlib.util, logging, sys
        import pytest
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
        with pytest.raises(ModuleNotFoundError, match="Please compile MultiScaleDeformableAttention"):
            import mask2former  # as it is
        from imrsf_d2.compat import environment
        from imrsf_d2.compat import upstream
        report = environment.examine()
        assert report.ok, report
        lines = dict(report.lines)
        assert "source in" in lines["mask2former"], lines
        assert lines["MSDeformAttn op"].startswith("compiled cpu"), lines
        # It is still absent for everybody else.
        assert importlib.util.find_spec("MultiScaleDeformableAttention") is None and not upstream.has_source_extension()
    """,
        str(uncompiled_source),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("MSDeformAttn on ") == 1
    assert "MSDeformAttn on cpu: compiled cpu, of torch-ms-deform-attn." in result.stdout


def test_an_extension_that_is_there_has_no_stand_in(tmp_path, monkeypatch):
    """Not even one that cannot be loaded: somebody compiled it, and would wonder why it does not run."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{upstream._EXTENSION}.py").write_text("raise ImportError('undefined symbol: at::Tensor')")
    with upstream.stand_in_for_absent_extension(), pytest.raises(ImportError, match="undefined symbol"):
        importlib.import_module(upstream._EXTENSION)
    compiled = SimpleNamespace()
    monkeypatch.setitem(sys.modules, upstream._EXTENSION, compiled)
    with upstream.stand_in_for_absent_extension():
        assert sys.modules[upstream._EXTENSION] is compiled


@pytest.fixture
def source_module(monkeypatch):
    """Mask2Former's module of the attention layer, as a source build has it; its op fails wherever it is called."""

    class MSDeformAttnFunction:
        @staticmethod
        def apply(*args):
            raise RuntimeError("no kernel image is available")

    upstream.prepare()
    monkeypatch.setattr(upstream, "has_source_extension", lambda: True)
    real = sys.modules[upstream._OP_MODULE]
    return SimpleNamespace(MSDeformAttnFunction=MSDeformAttnFunction, ms_deform_attn_core_pytorch=real._imrsf_original[1])


def test_source_build_without_a_gpu_uses_another_op(source_module, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    upstream.install_op(source_module)
    assert source_module.MSDeformAttnFunction.choice(torch.device("cpu"))[0] in (CPU_OP, PLAIN_OP)


def test_source_build_forced_to_plain_is_put_back(source_module, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = (source_module.MSDeformAttnFunction, source_module.ms_deform_attn_core_pytorch)
    upstream.install_op(source_module, force_plain=True)
    assert source_module.MSDeformAttnFunction.choice(torch.device("cpu"))[0] == PLAIN_OP
    upstream.install_op(source_module)
    assert (source_module.MSDeformAttnFunction, source_module.ms_deform_attn_core_pytorch) == before


def test_broken_source_build_is_found_by_verify_op(source_module, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    upstream.install_op(source_module)
    monkeypatch.setitem(sys.modules, upstream._OP_MODULE, source_module)
    monkeypatch.setattr(upstream, "compare_with_plain", lambda function, plain, device: function())  # no GPU needed
    with pytest.raises(upstream.UpstreamError, match=r"\(cuda\) fails on cuda: no kernel image.*IMRSF_MSDEFORM_OP=plain"):
        upstream.verify_op("cuda")


# SetCriterion


class OwnWeights(torch.nn.Module):
    """The changed constructor: it makes `weight_dict` itself."""

    def __init__(self, num_classes, matcher, class_weight, mask_weight, dice_weight, num_layers, eos_coef, losses):
        super().__init__()
        self.weight_dict = {"loss_ce": class_weight}
        self.seen = (num_classes, matcher, eos_coef, losses)


class GivenWeights(torch.nn.Module):
    """The original constructor."""

    def __init__(self, num_classes, matcher, weight_dict, eos_coef, losses):
        super().__init__()


def test_original_criterion_is_left_alone():
    assert upstream.adapt_criterion(GivenWeights) is GivenWeights


def test_changed_criterion_takes_the_weights_it_is_given():
    adapted = upstream.adapt_criterion(OwnWeights)
    weights = {"loss_ce": 2.0, "loss_mask": 5.0, "loss_mask_0": 5.0}
    criterion = adapted(3, matcher="m", weight_dict=weights, eos_coef=0.1, losses=["labels"])
    assert isinstance(criterion, OwnWeights)
    assert criterion.weight_dict == weights
    assert criterion.seen == (3, "m", 0.1, ["labels"])


def test_changed_criterion_can_be_called_in_its_own_form():
    adapted = upstream.adapt_criterion(OwnWeights)
    criterion = adapted(
        3, "m", class_weight=2.0, mask_weight=5.0, dice_weight=5.0, num_layers=9, eos_coef=0.1, losses=["labels"]
    )
    assert criterion.weight_dict == {"loss_ce": 2.0}


def test_adapting_twice_is_adapting_once():
    adapted = upstream.adapt_criterion(OwnWeights)
    assert upstream.adapt_criterion(adapted) is adapted


# Losses


@pytest.mark.parametrize(
    "module, names",
    [("criterion", ["dice_loss", "sigmoid_ce_loss"]), ("matcher", ["batch_dice_loss", "batch_sigmoid_ce_loss"])],
)
def test_losses_are_not_compiled(module, names):
    losses = importlib.import_module(f"mask2former.modeling.{module}")
    for name in names:
        assert getattr(losses, f"{name}_jit") is getattr(losses, name) and isinstance(getattr(losses, name), FunctionType)


# MaskFormer, end to end


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


# COCO evaluation


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
