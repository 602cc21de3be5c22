"""The invariances of a model that copes with missing sensors, over every subset of modalities."""

import pytest
import torch

from imrsf_d2.modeling import IncompleteMultimodalViT, Modality
from tests.largest_tensor import LargestTensor
from tests.modeling.conftest import MODALITIES, SUBSETS, build, make_images

NAMES = [m.name for m in MODALITIES]
BANDS = {"sar": [0], "rgb": [1, 2, 3], "landuse": [4]}
every_subset = pytest.mark.parametrize("subset", SUBSETS, ids=lambda s: "+".join(s) or "nothing")


def outputs(model, images):
    return list(model(images).values())


@every_subset
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30, -7.0])
def test_absent_modality_cannot_be_read(encoder, subset, garbage):
    clean = make_images([subset, NAMES])
    dirty = clean.clone()
    for name in set(NAMES) - set(subset):
        dirty[0, BANDS[name]] = garbage
    for a, b in zip(outputs(encoder, clean), outputs(encoder, dirty)):
        assert torch.equal(a, b)


@every_subset
def test_invalid_pixels_of_a_present_modality_cannot_be_read(encoder, subset):
    clean = make_images([subset], "partial")
    dirty = clean.clone()
    for m, name in enumerate(NAMES):
        hidden = clean[0, 5 + m] == 0
        for band in BANDS[name]:
            dirty[0, band][hidden] = float("nan")
    for a, b in zip(outputs(encoder, clean), outputs(encoder, dirty)):
        assert torch.equal(a, b)


@every_subset
def test_leaving_out_equals_never_having_had(encoder, subset):
    """A model that was built without the other modalities, with the same weights, gives the same maps."""
    if not subset:
        with pytest.raises(ValueError, match="at least one modality"):
            build(modalities=())
        return
    images = make_images([subset])
    small = build(modalities=[m for m in MODALITIES if m.name in subset])
    small.load_state_dict({k: v for k, v in encoder.state_dict().items() if k in small.state_dict()})
    channels = [c for name in subset for c in BANDS[name]] + [5 + NAMES.index(name) for name in subset]
    for a, b in zip(outputs(encoder, images), outputs(small, images[:, channels])):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_a_batch_of_different_subsets_equals_the_singles(encoder, coverage):
    images = make_images(SUBSETS[::-1] + SUBSETS, coverage)
    batch = outputs(encoder, images)
    for sample in range(len(images)):
        for a, b in zip(batch, outputs(encoder, images[sample : sample + 1])):
            torch.testing.assert_close(a[sample : sample + 1], b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("moved", NAMES)
def test_a_modality_moves_the_fusion_tokens_and_no_other_stream(encoder, moved):
    images = make_images([NAMES], "partial")
    changed = images.clone()
    changed[:, BANDS[moved]] = 4.0 - images[:, BANDS[moved]]
    before, after = (encoder.encode(x, streams=True) for x in (images, changed))
    for name in NAMES:
        assert torch.equal(before.streams[name], after.streams[name]) == (name != moved)
    assert (before.fusion - after.fusion).abs().max() > 1e-3


@every_subset
@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_every_parameter_gets_a_finite_gradient(subset, coverage):
    """Distributed training needs a gradient, possibly zero, for every parameter under every subset."""
    model = build()
    sum(m.square().sum() for m in outputs(model, make_images([subset, subset], coverage))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@every_subset
def test_unused_parameters_get_exactly_zero(subset):
    model = build()
    sum(m.square().sum() for m in outputs(model, make_images([subset]))).backward()
    for name in NAMES:
        used = model.patch_embed[name].proj.weight.grad.abs().max() > 0
        assert used == (name in subset), name


@pytest.mark.parametrize("patch_size", [8, 16])
@pytest.mark.parametrize("size", [(32, 64), (48, 80), (16, 112)], ids=str)
def test_declared_shapes_are_the_real_ones(patch_size, size):
    model = build(patch_size=patch_size)
    images = make_images([NAMES], size=size)
    declared = model.output_shape()
    maps = model(images)
    assert list(maps) == list(declared) == ["res2", "res3", "res4", "res5"]
    for name, shape in declared.items():
        assert maps[name].shape == (1, shape.channels, -(-size[0] // shape.stride), -(-size[1] // shape.stride))


@pytest.mark.parametrize("height,width,expected", [(31, 33, (32, 64)), (32, 32, (32, 32)), (33, 1, (64, 32))])
def test_padded_by_detectron2_every_map_divides_evenly(encoder, height, width, expected):
    from detectron2.structures import ImageList

    image = ImageList.from_tensors([torch.randn(8, height, width).double()], encoder.size_divisibility).tensor
    assert image.shape[-2:] == expected
    for name, feature in encoder(image).items():
        stride = encoder.output_shape()[name].stride
        assert feature.shape[-2:] == (expected[0] / stride, expected[1] / stride)


@every_subset
def test_nan_layout_equals_validity_layout(encoder, subset):
    with_validity = make_images([subset], "partial")
    plain = with_validity[:, :5].clone()
    for m, name in enumerate(NAMES):
        for band in BANDS[name]:
            plain[:, band][with_validity[:, 5 + m] == 0] = float("nan")
    for a, b in zip(outputs(encoder, with_validity), outputs(encoder, plain)):
        assert torch.equal(a, b)


def test_absent_as_zeros_is_a_mean_valued_image():
    images = make_images([("sar",)])
    filled = images.clone()
    filled[:, [1, 2, 3, 4]] = 0.0
    filled[:, [6, 7]] = 1.0
    # A categorical modality has no mean value: its zero is the embedding's, so compare the measurements alone.
    two = [0, 1, 2, 3, 5, 6]
    baseline, skipping = (build(modalities=MODALITIES[:2], absent=absent) for absent in ("zeros", "skip"))
    for a, b, c in zip(*(outputs(m, x[:, two]) for m, x in ((baseline, images), (skipping, filled), (skipping, images)))):
        torch.testing.assert_close(a, b)
        assert not torch.allclose(a, c)


@pytest.mark.gpu
@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_the_gpu_gives_what_the_cpu_gives(coverage):
    model, images = build(), make_images(SUBSETS, coverage)
    expected = outputs(model, images)
    for a, b in zip(expected, outputs(model.cuda(), images.cuda())):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-8, atol=1e-8)


@pytest.mark.gpu
@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_gradients_on_the_gpu_are_those_on_the_cpu(coverage):
    gradients = {}
    for device in ("cpu", "cuda"):
        model, images = build().to(device), make_images(SUBSETS, coverage).to(device)
        sum(map_.square().sum() for map_ in model(images).values()).backward()
        gradients[device] = {name: p.grad.cpu() for name, p in model.named_parameters()}
    for name, expected in gradients["cpu"].items():
        torch.testing.assert_close(
            gradients["cuda"][name], expected, rtol=1e-7, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("coverage", ["full", "partial"])
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "full attention"])
def test_no_tensor_of_tokens_times_tokens_is_built(coverage, masked):
    torch.manual_seed(0)
    model = IncompleteMultimodalViT(
        modalities=[Modality("a", 1), Modality("b", 1)],
        patch_size=8,
        embed_dim=8,
        depth=2,
        num_heads=1,
        out_layers=[1],
        out_features=["res3"],
        masked_attention=masked,
    )
    images = torch.randn(1, 2, 512, 512)  # 4096 patches, 3 x 4096 tokens
    if coverage == "partial":
        images[0, 1, 200:, 100:] = float("nan")
    with LargestTensor() as largest, torch.no_grad():
        model(images)
    assert largest.elements < 4096 * 4096 / 8


@pytest.mark.parametrize("most,widest", [(4, 4), (7, 7), (13, 13)])
def test_inference_in_parts_gives_what_training_computes_at_once(encoder, monkeypatch, most, widest):
    """Without gradients a block takes its tokens in parts, whole samples if they fit; with gradients, at once."""
    images = make_images(SUBSETS, "partial")
    expected = encoder.encode(images, streams=True)
    monkeypatch.setattr("imrsf_d2.modeling.block.CPU_ROWS", most)
    rows = []
    hook = encoder.blocks[0].mlp.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    with torch.no_grad():
        actual = encoder.encode(images, streams=True)
    hook.remove()
    assert max(rows) <= widest and sum(rows) == int(expected.present.sum()) + len(images) * 6
    for a, b in [(actual.fusion, expected.fusion), *zip(actual.streams.values(), expected.streams.values())]:
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_drop_path_skips_whole_samples_alike():
    model = build(drop_path=0.5).train()
    images = make_images([NAMES]).repeat(32, 1, 1, 1)
    torch.manual_seed(0)
    fusion = model.encode(images).fusion
    distinct = {tuple(row.flatten()[:8].tolist()) for row in fusion.detach()}
    assert 2 <= len(distinct) <= 2**4  # blocks 1 and 2 have two branches each that are kept or skipped
    model.eval()
    assert torch.equal(model.encode(images).fusion[0], model.encode(images).fusion[31])


def test_a_present_patch_needs_min_valid_of_its_pixels():
    images = make_images([("rgb",)])
    images[0, 6] = 0.0
    images[0, 6, :4, :8] = 1.0  # exactly half of the first patch
    images[0, 6, :7, 8:12] = 1.0  # 28 of 64 pixels of the second
    assert build().encode(images).present[0, 1].tolist() == [True] + [False] * 5
    assert build(min_valid=0.4).encode(images).present[0, 1].tolist() == [True, True] + [False] * 4


@pytest.mark.parametrize("has", SUBSETS, ids="+".join)
def test_no_two_gradients_share_memory(has):
    """Or accumulating or clipping one of them in place would change the other."""
    model = build()
    model.encode(make_images([has], "partial")).fusion.square().sum().backward()
    places = [
        p.grad.untyped_storage().data_ptr() + p.grad.storage_offset() * p.grad.element_size()
        for p in model.parameters()
        if p.grad is not None
    ]
    assert len(places) == len(set(places))
