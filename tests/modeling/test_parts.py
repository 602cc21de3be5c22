"""Worked numbers for the parts, and the errors a user can act on."""

import math

import pytest
import torch

from imrsf_d2.modeling import IncompleteMultimodalViT, Modality
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.pyramid import FeaturePyramid, feature_stride
from imrsf_d2.modeling.subset_groups import SubsetGroup, group_by_subset
from imrsf_d2.modeling.tokens import sincos_position_embedding
from tests.modeling.conftest import MODALITIES, build, make_images

CPU = torch.device("cpu")


def test_position_embedding_by_hand():
    table = sincos_position_embedding(2, 3, 8, CPU, torch.float64)
    column, row = 2, 1  # patch 5 of a 2 x 3 grid; frequencies 1 and 1 / 100
    expected = [
        math.sin(column),
        math.sin(column / 100),
        math.cos(column),
        math.cos(column / 100),
        math.sin(row),
        math.sin(row / 100),
        math.cos(row),
        math.cos(row / 100),
    ]
    torch.testing.assert_close(table[5], torch.tensor(expected, dtype=torch.float64))


def test_position_embedding_does_not_depend_on_the_image_size():
    small = sincos_position_embedding(2, 3, 8, CPU, torch.float32).view(2, 3, 8)
    large = sincos_position_embedding(5, 7, 8, CPU, torch.float32).view(5, 7, 8)
    assert torch.equal(small, large[:2, :3])


def test_position_embedding_first_used_in_inference_can_be_trained_with():
    model = build()
    images = make_images([("rgb",)], size=(40, 8))
    with torch.inference_mode():
        model(images)
    model(images)["res2"].sum().backward()
    assert model.fusion_tokens.grad.abs().max() > 0


def present_table(*rows):
    """One string per sample, one letter per modality: 1 all patches, 0 none, p some."""
    patches = {"1": [True, True], "0": [False, False], "p": [True, False]}
    return torch.tensor([[patches[letter] for letter in row] for row in rows])


def test_samples_are_grouped_by_subset_full_coverage_first():
    groups = group_by_subset(present_table("p1", "11", "01", "11", "00", "1p"))
    assert groups == [
        SubsetGroup((0, 1), False, (1, 3)),
        SubsetGroup((1,), False, (2,)),
        SubsetGroup((), False, (4,)),
        SubsetGroup((0, 1), True, (0, 5)),
    ]


def test_packing_puts_each_groups_streams_side_by_side():
    layout = TokenLayout(present_table("p1", "01", "11"))
    assert layout.whole_images(0).tolist() == [2] and layout.whole_images(1).tolist() == [1, 2, 0]
    image, patch = layout.short_patches(0)
    assert image.tolist() == [0] and patch.tolist() == [0] and not len(layout.short_patches(1)[0])
    whole = [torch.tensor([[[200.0], [201.0]]]), torch.tensor([[[110.0], [111.0]], [[210.0], [211.0]], [[10.0], [11.0]]])]
    short = [torch.tensor([[0.0]]), torch.zeros(0, 1)]  # sample * 100 + modality * 10 + patch
    packed = layout.pack(whole, short, torch.zeros(2, 1))
    assert packed.flatten().tolist() == [110.0, 111.0, 200.0, 201.0, 210.0, 211.0, 10.0, 11.0, 0.0]
    assert layout.unpack_rows(torch.tensor([1, 2, 0])).tolist() == [0, 1, 2]


def test_maps_of_all_strides_by_their_definition():
    """Fusion tokens of a 3 x 5 grid of patches of 16 px."""
    torch.manual_seed(0)
    pyramid = FeaturePyramid(4, 16, ("res2", "res3", "res4", "res5")).double()
    for parameter in pyramid.parameters():
        torch.nn.init.normal_(parameter)
    grids = list(torch.randn(4, 2, 4, 3, 5, dtype=torch.float64))

    def doubled(layer, x):
        blocks = torch.einsum("bihw,ioyx->bohywx", x, layer.weight)
        return blocks.flatten(2, 3).flatten(3, 4) + layer.bias[:, None, None]

    def activated(norm, x):
        mean, variance = x.mean(dim=1, keepdim=True), x.var(dim=1, keepdim=True, correction=0)
        x = (x - mean) / (variance + 1e-6).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
        return x * (1 + torch.erf(x / 2**0.5)) / 2

    pooled = torch.stack([grids[3][..., y : y + 2, x : x + 2].amax(dim=(2, 3)) for y in (0, 2) for x in (0, 2, 4)], dim=2)
    twice = activated(pyramid.res2[1], doubled(pyramid.res2[0], grids[0]))
    expected = {
        "res2": doubled(pyramid.res2[3], twice),
        "res3": doubled(pyramid.res3[0], grids[1]),
        "res4": grids[2],
        "res5": pooled.unflatten(2, (2, 3)),
    }
    found = pyramid(grids)
    assert found.keys() == expected.keys()
    for name, grid in expected.items():
        torch.testing.assert_close(found[name], grid, rtol=1e-12, atol=1e-12)


def test_group_by_subset_rejects_a_number_mask():
    with pytest.raises(ValueError, match=r"torch.float32 \[1, 2, 3\], expected torch.bool \[B, M, N\]"):
        group_by_subset(torch.ones(1, 2, 3))


def test_parameter_names_and_shapes_are_timms():
    timm = pytest.importorskip("timm", reason="timm is only needed to compare names")
    reference = timm.models.vision_transformer.VisionTransformer(embed_dim=96, depth=2, num_heads=3, num_classes=0)
    theirs = {k: v.shape for k, v in reference.state_dict().items() if k.startswith(("blocks.", "norm."))}
    model = IncompleteMultimodalViT(modalities=[Modality("rgb", 3)], embed_dim=96, depth=2, num_heads=3)
    ours = {k: v.shape for k, v in model.state_dict().items() if k.startswith(("blocks.", "norm."))}
    assert ours == theirs
    assert model.patch_embed["rgb"].proj.weight.shape == reference.patch_embed.proj.weight.shape


def test_blocks_without_modalities_equal_timms_blocks():
    """With no sensor at all the fusion tokens run through a plain ViT: compare with timm's, same weights."""
    timm = pytest.importorskip("timm", reason="timm is the independent reference here")
    reference = timm.models.vision_transformer.VisionTransformer(embed_dim=96, depth=2, num_heads=3, num_classes=0)
    model = IncompleteMultimodalViT(modalities=[Modality("rgb", 3)], embed_dim=96, depth=2, num_heads=3).eval()
    model.load_state_dict({k: v for k, v in reference.state_dict().items() if k.startswith("blocks.")}, strict=False)
    output = model.encode(torch.full((1, 3, 64, 64), float("nan")))
    start = model._fusion_tokens((4, 4))[None]
    torch.testing.assert_close(output.fusion, reference.blocks(start), rtol=1e-4, atol=1e-5)


def test_importance_sums_to_one_where_something_is_present():
    output = build().encode(make_images([("sar", "rgb"), (), ("landuse",)], "partial"))
    total = output.importance.sum(1)
    torch.testing.assert_close(total, output.present.any(1).double())
    assert not output.importance[~output.present].any() and not output.importance.requires_grad


@pytest.mark.parametrize("autocast", [torch.bfloat16])
def test_autocast_keeps_the_residual_stream_in_float32(autocast):
    model = build().float()
    images = make_images([("sar", "rgb"), ("rgb",)], "partial").float()
    exact = model.encode(images).fusion
    with torch.autocast("cpu", dtype=autocast):
        output = model.encode(images)
    assert output.fusion.dtype == torch.float32
    assert (output.fusion - exact).abs().mean() < 0.05 * exact.abs().mean()


def test_wrong_number_of_channels_says_what_fits():
    with pytest.raises(ValueError, match=r"\[1, 6, 16, 24\], expected \[B, 8, H, W\] \(bands and validity\) or \[B, 5"):
        build()(torch.zeros(1, 6, 16, 24))


def test_size_that_patches_do_not_divide_says_so():
    with pytest.raises(ValueError, match="20 x 24 px, expected multiples of the patch size 8"):
        build()(torch.zeros(1, 8, 20, 24))


def test_class_out_of_range_says_so():
    images = make_images([("landuse",)])
    images[0, 4, 3, 3] = 5.0
    with pytest.raises(ValueError, match=r"'landuse' holds class 0..5, expected 0..4 \(CLASSES: 5\)"):
        build()(images)


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"embed_dim": 18}, "embed_dim is 18, expected a multiple of 4"),
        ({"num_heads": 0}, "num_heads is 0, expected 1 or more"),
        ({"patch_size": 12}, "patch_size is 12, expected a power of two"),
        ({"absent": "drop"}, "absent is 'drop', expected 'skip' or 'zeros'"),
        ({"out_layers": [0, 1, 2]}, r"out_layers is \[0, 1, 2\], expected one block in 0..2 for each of"),
        ({"out_layers": [0, 1, 1, 1]}, "expected the last block 2 among them"),
        ({"out_features": ["res2", "res3", "res4", "p5"]}, "feature map 'p5', expected res2, res3"),
        ({"modalities": [Modality("type", 1)]}, "'type': NAME is an attribute of the torch.nn.ModuleDict"),
        ({"modalities": [Modality("training", 1)]}, "'training': NAME is an attribute of"),
        ({"modalities": [MODALITIES[0], MODALITIES[0]]}, r"names \['sar'\] twice"),
    ],
)
def test_contradictory_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_feature_stride():
    assert [feature_stride(name) for name in ("res2", "res3", "res5")] == [4, 8, 32]


def test_default_out_layers_divide_the_depth():
    model = IncompleteMultimodalViT(modalities=[Modality("rgb", 3)], embed_dim=8, depth=12, num_heads=1)
    assert model.out_layers == (2, 5, 8, 11)
