"""The pre-training model against the naive float64 reference, and what it must never do."""

import logging
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from imrsf_d2.modeling.token_masks import draw_visible
from tests.largest_tensor import LargestTensor
from tests.modeling import pretrain_reference as naive
from tests.modeling.conftest import GRID, MODALITIES, SHAPE, SUBSETS, make_images
from tests.modeling.pretraining import (
    BATCH,
    DECODER_DEPTH,
    KINDS,
    NAMES,
    TEMPERATURE,
    VISIBLE,
    WEIGHTS,
    build_pretraining,
    losses_and_gradients,
    make_samples,
    masks_of,
)


def naive_losses(model, samples, parameters, normalize=False, cross_attention=False, **ablation):
    present, visible = masks_of(model, samples)
    shape = {"patch": SHAPE["patch"], "depth": SHAPE["depth"], "heads": SHAPE["heads"]}
    fusions, streams, read = [], [], []
    for sample, of_sample in zip(samples, visible):
        fusion, stream = naive.encode(sample["image"], of_sample, MODALITIES, parameters, **shape, **ablation)
        fusions.append(naive.reference.norm(fusion, parameters, "backbone.norm"))
        streams.append(
            [{n: naive.reference.norm(v[None], parameters, "backbone.norm")[0] for n, v in s.items()} for s in stream]
        )
        seen = fusions[-1], streams[-1], parameters, shape["heads"]
        read.append(naive.read_by_cross_attention(*seen) if cross_attention else fusions[-1])
    hidden = [p & ~v for p, v in zip(present, visible)]
    images = [sample["image"] for sample in samples]
    losses = naive.reconstruction_losses(
        images, hidden, read, MODALITIES, KINDS, parameters, SHAPE["patch"], DECODER_DEPTH, normalize
    )
    losses = {f"loss_{name}": WEIGHTS[name] * value for name, value in losses.items()}
    vectors = [naive.comparison_vectors(f, s, parameters, SHAPE["heads"]) for f, s in zip(fusions, streams)]
    losses["loss_contrastive"] = 0.3 * naive.info_nce(vectors, TEMPERATURE)
    return losses


@pytest.mark.parametrize(
    "coverage, normalize, ablation",
    [
        ("full", False, {}),
        ("full", True, {}),
        ("partial", False, {}),
        ("partial", True, {}),
        ("partial", False, {"masked_attention": False}),
        ("partial", False, {"gather": "none"}),
        ("partial", False, {"gather": "mean_bilstm"}),
        ("full", False, {"cross_attention": True}),
        ("partial", False, {"cross_attention": True}),
    ],
    ids=str,
)
def test_losses_and_gradients_equal_the_reference(coverage, normalize, ablation):
    model, samples = build_pretraining(normalize=normalize, **ablation), make_samples(BATCH, coverage)
    parameters = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    losses = model(samples)
    expected = naive_losses(
        model,
        samples,
        parameters,
        normalize,
        masked=None if ablation.get("masked_attention", True) else 0,
        gather=ablation.get("gather", "bilstm"),
        cross_attention=ablation.get("cross_attention", False),
    )
    assert set(losses) == set(expected)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-5), name  # losses are taken in float32
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.grad, parameters[name].grad, rtol=1e-4, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize(
    "ablation", [{}, {"masked_attention": False}, {"gather": "none"}, {"cross_attention": True}], ids=str
)
@pytest.mark.parametrize("contrastive", [True, False], ids=["G & C", "G"])
@pytest.mark.parametrize("size", [1, 2], ids="batch of {}".format)
def test_every_parameter_has_a_finite_gradient_whatever_is_there(size, contrastive, ablation):
    for subset in SUBSETS:
        model = build_pretraining(contrastive, **ablation)
        losses, _ = losses_and_gradients(model, make_samples([subset] * size, "partial"))
        assert all(torch.isfinite(loss) for loss in losses.values()), subset


@pytest.mark.parametrize("contrastive", [True, False], ids=["G & C", "G"])
def test_a_batch_that_hides_nothing_is_said_once_and_has_every_gradient(monkeypatch, contrastive):
    said = []
    monkeypatch.setattr("detectron2.utils.logger._LOG_COUNTER", Counter())
    monkeypatch.setattr(
        logging.getLogger("imrsf_d2.modeling.pretrain"), "handle", lambda record: said.append(record.getMessage())
    )
    model = build_pretraining(contrastive)
    losses_and_gradients(model, make_samples([NAMES, ()]))
    assert not said  # one of the two hides patches
    model.visible_tokens = 18
    for _ in range(2):
        model.zero_grad()
        losses, _ = losses_and_gradients(model, make_samples([NAMES, ("rgb",)]))
        assert all(losses[f"loss_{name}"] == 0 for name in NAMES)
    assert len(said) == 1 and "MODEL.IMRSF.PRETRAIN.VISIBLE_TOKENS = 18 patches" in said[0]


@pytest.mark.parametrize("contrastive", [True, False], ids=["G & C", "G"])
@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_bf16_is_close_to_float32(coverage, contrastive):
    samples = make_samples(BATCH, coverage, torch.float32)
    expected, gradients = losses_and_gradients(build_pretraining(contrastive, dtype=torch.float32), samples)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = (model := build_pretraining(contrastive, dtype=torch.float32))(samples)
    sum(losses.values()).backward()
    for name, loss in losses.items():
        assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected[name].item(), rel=0.03), name
    assert any(losses[name] != expected[name] for name in losses)
    narrow = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in narrow.values())
    everything = [torch.cat([each[name].flatten() for name in gradients]) for each in (narrow, gradients)]
    assert nn.functional.cosine_similarity(*everything, dim=0) > 0.95


class AfterAttention(TorchFunctionMode):
    """Remembers what would wait for a GPU once the first attention was queued."""

    WAITS = ("nonzero", "to", "cpu", "cuda", "item", "tolist", "unique", "__bool__")

    def __init__(self):
        super().__init__()
        self.queued, self.waits = False, []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        indices = args[1:2] if name in ("__getitem__", "__setitem__") else ()
        by_mask = any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices)
        if self.queued and (name in self.WAITS or by_mask):
            self.waits.append(name)
        self.queued |= name == "scaled_dot_product_attention"
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("contrastive", [True, False], ids=["G & C", "G"])
def test_once_the_encoder_is_queued_nothing_waits_but_the_search_for_pairs(contrastive):
    model, samples = build_pretraining(contrastive), make_samples([NAMES, ("sar", "rgb")], "partial")
    with AfterAttention() as watched:
        model(samples)
    assert watched.queued and watched.waits == ["nonzero"] * len(NAMES) * contrastive


def test_a_batch_of_one_has_nothing_to_contrast():
    assert build_pretraining()(make_samples([NAMES]))["loss_contrastive"].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("garbage", [1e6, -3.0, float("inf")])
def test_no_hidden_pixel_reaches_the_encoder(garbage):
    model, samples = build_pretraining(), make_samples([NAMES, ("sar", "rgb")])
    _, visible = masks_of(model, samples)
    images = torch.stack([sample["image"] for sample in samples])
    patches = model.backbone.read(images)
    before = model.backbone.encode_visible(patches, torch.stack(visible), streams=True)
    hidden = ~torch.stack(visible).unflatten(2, GRID).repeat_interleave(8, 2).repeat_interleave(8, 3)
    for m, name in enumerate(NAMES):
        bands = model.backbone.modalities.bands(name)
        patches.bands[:, bands] = patches.bands[:, bands].masked_fill(hidden[:, m : m + 1], garbage)
    after = model.backbone.encode_visible(patches, torch.stack(visible), streams=True)
    assert torch.equal(before.fusion, after.fusion)
    assert torch.equal(before.tokens, after.tokens)


def test_a_hidden_pixel_changes_its_own_loss_alone():
    model, samples = build_pretraining(), make_samples([NAMES])
    before = model(samples)
    _, visible = masks_of(model, samples)
    n = int((~visible[0][1]).nonzero()[0])
    top, left = n // GRID[1] * 8, n % GRID[1] * 8
    samples[0]["image"][1:4, top : top + 8, left : left + 8] += 1.0
    after = model(samples)
    assert after["loss_rgb"] != before["loss_rgb"]
    assert all(after[name] == before[name] for name in before if name != "loss_rgb")


def test_pixels_without_data_in_a_hidden_patch_are_not_reconstructed(monkeypatch):
    model, samples = build_pretraining(), make_samples([NAMES], "partial")
    (present,), (visible,) = masks_of(model, samples)
    patches = model.backbone.read(samples[0]["image"][None])
    hidden = (present & ~visible).unflatten(1, GRID).repeat_interleave(8, 1).repeat_interleave(8, 2)
    losses = []
    for change in (0.0, 3.0):  # 3 is a class too
        for m, name in enumerate(NAMES):
            bands = model.backbone.modalities.bands(name)
            empty = hidden[m] & ~patches.valid[0, m]
            assert empty.any()
            patches.bands[0, bands] = patches.bands[0, bands].masked_fill(empty, change)
        monkeypatch.setattr(model.backbone, "read", lambda image: patches)
        losses.append(model(samples))
    assert losses[0] == losses[1]


def test_cost_follows_the_visible_tokens():
    """No tensor has a side of all the tokens there are, let alone two."""
    model = build_pretraining(contrastive=False, dtype=torch.float32)
    samples = [{"image": torch.rand(8, 128, 128), "mask_seed": b} for b in range(2)]
    for sample in samples:
        sample["image"][4] = 0.0
        sample["image"][5:] = 1.0
    num_patches = 16 * 16
    patches = model.backbone.read(torch.stack([sample["image"] for sample in samples]))
    visible = torch.stack(
        [
            torch.from_numpy(draw_visible(np.ones((3, num_patches), dtype=bool), 60, 1.0, np.random.default_rng(b)))
            for b in range(2)
        ]
    )
    with LargestTensor() as watched:
        model.backbone.encode_visible(patches, visible)
    # The widest are the MLP's hidden layer [T + B N, 4 D] and, where attention is spelled out, [B, heads, N, V + N].
    assert watched.elements <= max((120 + 2 * num_patches) * 4 * 16, 2 * 2 * num_patches * (60 + num_patches))


def test_evaluation_reconstructs_every_modality_in_the_images_units():
    model = build_pretraining().eval()
    model.pixel_mean[1:4], model.pixel_std[1:4] = 100.0, 20.0
    sample = {"image": make_images([("rgb",)])[0], "mask_seed": 1}
    sample["image"][1:4] = 100.0 + 20.0 * sample["image"][1:4]
    with torch.no_grad():
        (output,) = model([sample])
        patches = model.backbone.read(((sample["image"] - model.pixel_mean) / model.pixel_std)[None])
        visible = output["visible"].flatten(1)[None]
        fusion = model.backbone.norm(model.backbone.encode_visible(patches, visible).fusion)
        decoded = model.decoders["rgb"](fusion, torch.arange(6))
    assert output["present"].shape == output["visible"].shape == (3, *GRID)
    assert output["visible"].sum() == VISIBLE
    assert {n: tuple(r.shape) for n, r in output["reconstruction"].items()} == {
        "sar": (1, 16, 24),
        "rgb": (3, 16, 24),
        "landuse": (1, 16, 24),
    }
    classes = output["reconstruction"]["landuse"]
    assert classes.equal(classes.round()) and classes.min() >= 0 and classes.max() < 5
    for n in range(6):
        window = output["reconstruction"]["rgb"][:, n // 3 * 8 : n // 3 * 8 + 8, n % 3 * 8 : n % 3 * 8 + 8]
        torch.testing.assert_close(window, (100.0 + 20.0 * decoded[n]).float())


def test_images_of_different_sizes_share_a_batch():
    large, small = make_images([NAMES])[0], make_images([NAMES], size=(16, 16))[0]
    model = build_pretraining().eval()
    with torch.no_grad():
        outputs = model([{"image": large, "mask_seed": 1}, {"image": small, "mask_seed": 2}])
    assert outputs[1]["reconstruction"]["rgb"].shape == (3, 16, 16)
    assert not outputs[1]["visible"][:, :, 2:].any()


def test_a_sample_without_a_mask_seed_is_an_error():
    with pytest.raises(ValueError, match="no 'mask_seed'.*imrsf_pretrain"):
        build_pretraining()([{"image": make_images([NAMES])[0]}])


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu():
    model, samples = build_pretraining(dtype=torch.float32), make_samples(BATCH, "partial", torch.float32)
    on_cpu = model(samples)
    on_gpu = model.cuda()(samples)
    for name, loss in on_cpu.items():
        torch.testing.assert_close(on_gpu[name].cpu(), loss, rtol=1e-4, atol=1e-4)
