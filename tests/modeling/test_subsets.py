"""One pass over an image for many subsets of its modalities: what separate passes give, for fewer tokens."""

import pytest
import torch

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling import IncompleteMultimodalViT
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.tokens import keep_modalities
from tests.modeling.conftest import MODALITIES, SUBSETS, build, make_images

SET = ModalitySet(MODALITIES)
#: Images that lack nothing, one modality, two, and all.
IMAGES = [("sar", "rgb", "landuse"), ("sar", "landuse"), ("rgb",), ()]
#: Encoders by whether their subsets share streams.
SHARING = [
    {},
    {"gather": "none"},
    {"gather": "mean"},
    {"gather": "mean_bilstm"},
    {"gather": "none", "readout": "modalities"},
]
SEPARATE = [
    {"masked_attention": False},
    {"absent": "zeros"},
    {"masked_blocks": 1},
    {"gather": "none", "readout": "modalities", "masked_attention": False},
    {"gather": "none", "readout": "modalities", "masked_attention": False, "absent": "zeros"},
]
VARIANTS = SHARING + SEPARATE


def assert_same(a, b, what=""):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10, msg=lambda text: f"{what}: {text}")


def assert_same_outputs(outputs, separate):
    assert len(outputs) == len(separate)
    for output, expected in zip(outputs, separate):
        assert output.grid == expected.grid and output.streams == {}
        assert torch.equal(output.present, expected.present)
        assert_same(output.fusion, expected.fusion, "fusion tokens")
        assert_same(output.importance, expected.importance, "beta")
        for a, b in zip(output.layers, expected.layers, strict=True):
            assert_same(a, b, "layers")


@pytest.mark.parametrize("coverage", ["full", "partial"])
@pytest.mark.parametrize("has", IMAGES, ids=lambda s: "+".join(s) or "nothing")
def test_every_subset_of_an_image_equals_a_pass_of_its_own(encoder, has, coverage):
    image = make_images([has], coverage)
    separate = [encoder.encode(keep_modalities(image, SET, subset), layers=(0, 2)) for subset in SUBSETS]
    assert_same_outputs(encoder.encode_subsets(image, SUBSETS, layers=(0, 2)), separate)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("order", [1, -1])
def test_a_mixed_batch_equals_separate_passes(changes, order):
    """Images that differ in what they have and in coverage, subsets in either order and one of them twice."""
    model = build(**changes)
    images = torch.cat([make_images(IMAGES, "full"), make_images(IMAGES, "partial", seed=1)])
    subsets = SUBSETS[::order] + [("rgb", "sar")]
    separate = [model.encode(keep_modalities(images, SET, subset), layers=(1,)) for subset in subsets]
    assert_same_outputs(model.encode_subsets(images, subsets, layers=(1,)), separate)


def test_only_encoders_whose_streams_are_their_own_share_them():
    assert [build(**changes).shares_streams for changes in VARIANTS] == [True] * len(SHARING) + [False] * len(SEPARATE)


def test_nan_layout_equals_validity_layout(encoder):
    with_validity = make_images(IMAGES, "partial")
    plain = with_validity[:, :5].clone()
    for m, bands in enumerate([[0], [1, 2, 3], [4]]):
        for band in bands:
            plain[:, band][with_validity[:, 5 + m] == 0] = float("nan")
    for a, b in zip(encoder.encode_subsets(plain, SUBSETS), encoder.encode_subsets(with_validity, SUBSETS)):
        assert torch.equal(a.fusion, b.fusion)
    for subset in SUBSETS:
        separate = encoder.encode(keep_modalities(plain, SET, subset))
        assert torch.equal(separate.present, encoder.encode(keep_modalities(with_validity, SET, subset)).present)


def test_maps_of_every_subset_equal_those_of_a_pass_of_its_own(encoder):
    images = make_images(IMAGES, "partial")
    for subset, maps in zip(SUBSETS, encoder.forward_subsets(images, SUBSETS), strict=True):
        expected = encoder(keep_modalities(images, SET, subset))
        assert list(maps) == list(expected)
        for name in maps:
            assert_same(maps[name], expected[name], f"{name} of {subset}")


@pytest.mark.gpu
def test_maps_of_every_subset_are_the_same_on_the_gpu():
    model, images = build(), torch.cat([make_images(IMAGES, "full"), make_images(IMAGES, "partial", seed=1)])
    expected = list(model.forward_subsets(images, SUBSETS))
    for maps, others in zip(expected, model.cuda().forward_subsets(images.cuda(), SUBSETS), strict=True):
        for name in maps:
            torch.testing.assert_close(others[name].cpu(), maps[name], rtol=1e-8, atol=1e-8)


def test_gradients_equal_those_of_separate_passes():
    images = make_images(IMAGES[:2], "partial")
    gradients = []
    for shared in (True, False):
        model = build()
        outputs = (
            model.encode_subsets(images, SUBSETS)
            if shared
            else [model.encode(keep_modalities(images, SET, subset)) for subset in SUBSETS]
        )
        sum(((i + 1) * output.fusion).square().sum() for i, output in enumerate(outputs)).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-8, atol=1e-8)


def rows_through_blocks(model, image, run):
    """Run and count [N, D] rows that enter the MLP of the first block, over all passes."""
    rows = []
    hook = model.blocks[0].mlp.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    with torch.no_grad():
        run()
    hook.remove()
    return sum(rows) // (image.shape[-2] // model.patch_size * image.shape[-1] // model.patch_size)


@pytest.mark.parametrize("number,shared,separate", [(1, 2, 2), (2, 5, 7), (3, 10, 19), (4, 19, 47)])
def test_streams_pass_once_and_fusion_tokens_once_a_subset(number, shared, separate):
    modalities = ModalitySet([Modality(name, 1) for name in "abcd"[:number]])
    model = IncompleteMultimodalViT(modalities=modalities, patch_size=8, embed_dim=8, depth=2, num_heads=2)
    image = torch.randn(1, number, 16, 16)
    subsets = modalities.subsets()
    assert rows_through_blocks(model, image, lambda: model.encode_subsets(image, subsets)) == shared
    assert (
        rows_through_blocks(
            model, image, lambda: [model.encode(keep_modalities(image, modalities, subset)) for subset in subsets]
        )
        == separate
    )


def test_subsets_that_leave_the_same_are_computed_once(encoder):
    image = make_images([("sar",)])  # with or without sar: two fusion rows and one stream
    assert rows_through_blocks(encoder, image, lambda: encoder.encode_subsets(image, SUBSETS)) == 3


def test_streams_that_no_subset_wants_are_not_computed(encoder):
    image = make_images([("sar", "rgb", "landuse")])
    assert rows_through_blocks(encoder, image, lambda: encoder.encode_subsets(image, [("rgb",)])) == 2


def test_shared_streams_lie_where_the_groups_look_for_them():
    everything = torch.ones(1, 3, 2, dtype=torch.bool)
    keeps = torch.tensor([[True, True, True], [False, True, False], [True, False, True], [False, True, True]])
    layout = TokenLayout(everything & keeps[:, :, None], images=[0, 0, 0, 0])
    assert layout.modality.tolist() == [0, 0, 1, 1, 2, 2] and layout.num_fusion == 4 and layout.num_images == 1
    seen = [part.streams.rows for part in layout.fusion_parts()]
    assert [seen[0], seen[1], seen[3]] == [slice(0, 6), slice(2, 4), slice(2, 6)]  # views
    assert seen[2].tolist() == [[0, 1, 4, 5]]


def test_no_subset_gives_nothing(encoder):
    assert encoder.encode_subsets(make_images(IMAGES), []) == []


@pytest.mark.parametrize(
    "subset,message",
    [(("radar",), "subsets names the unknown modality 'radar'"), (("rgb", "rgb"), "subsets names the modality 'rgb' twice")],
)
def test_a_subset_that_makes_no_sense_says_so(encoder, subset, message):
    with pytest.raises(ValueError, match=message):
        encoder.encode_subsets(make_images(IMAGES), [("rgb",), subset])


def test_drop_path_skips_an_image_alike_in_all_its_subsets():
    model = build(drop_path=0.5, gather="none").train()
    image = make_images([("sar",)])
    torch.manual_seed(0)
    for _ in range(8):
        # Without Bi-LSTM, and with every branch of the last two blocks dropped, both subsets differ in block 0 alone.
        alone, nothing = model.encode_subsets(image, [("sar",), ()], layers=(0,))
        dropped = [torch.equal(output.fusion, output.layers[0]) for output in (alone, nothing)]
        assert dropped[0] == dropped[1]
