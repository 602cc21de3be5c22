"""The backbone beside timm's own vision transformer: asked in the same way, both answer alike."""

import itertools

import pytest
import torch

pytest.importorskip("timm", minversion="1.0.31", reason="older versions of timm have fewer of the arguments")

from timm.models._features import FeatureGetterNet  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402
from timm.optim import param_groups_weight_decay  # noqa: E402

from imrsf_d2.modalities import Modality  # noqa: E402
from imrsf_d2.modeling.vit import IncompleteMultimodalViT  # noqa: E402

SIZES = {"patch_size": 8, "embed_dim": 16, "depth": 5, "num_heads": 2}
RGB = Modality("rgb", channels=3)
COVER = Modality("cover", classes=3)


def build(modalities=(RGB,), **changes):
    return IncompleteMultimodalViT(modalities=modalities, **SIZES | changes).eval()


@pytest.fixture
def theirs():
    return VisionTransformer(img_size=32, class_token=False, global_pool="avg", num_classes=0, **SIZES).eval()


@pytest.fixture
def image():
    return torch.rand(2, 3, 32, 32)


def form(value):
    """Types, lengths and shapes, without the numbers."""
    if isinstance(value, torch.Tensor):
        return list(value.shape)
    if isinstance(value, dict):
        return {key: form(entry) for key, entry in value.items()}
    return type(value), [form(entry) for entry in value]


def test_results_have_the_form_of_timms_for_all_arguments(theirs, image):
    ours = build()
    flags = itertools.product([False, True], repeat=5)
    indices = itertools.cycle([None, 2, [1, 3], (-2, 0, -2), [2]])  # of another length than the flags: all go with all
    for (norm, stop_early, only, as_dict, flat), chosen in zip(flags, indices):
        arguments = (chosen, True, norm, stop_early, "NLC" if flat else "NCHW", only, as_dict)
        with torch.no_grad():
            got, expected = (m.forward_intermediates(image, *arguments) for m in (ours, theirs))
        assert form(got) == form(expected), arguments
    for arguments in ((), (3, True), ([0, -1], False, True, True)):
        assert form(ours.get_intermediate_layers(image, *arguments)) == form(
            theirs.get_intermediate_layers(image, *arguments)
        )
    assert form(ours.forward_features(image)) == form(theirs.forward_features(image))
    assert ours.num_features == theirs.num_features and ours.feature_info.get("index", [1, 4]) == [1, 4]
    for key in ("num_chs", "reduction", "module"):
        assert [entry[key] for entry in ours.feature_info] == [entry[key] for entry in theirs.feature_info]


def test_the_values_are_those_of_the_blocks(image):
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        # At the stride of the patches, a map is the normalized tokens themselves.
        at = model.pyramid.features.index("res3")
        (tokens,) = model.forward_intermediates(image, [model.out_layers[at]], norm=True, intermediates_only=True)
        assert torch.equal(tokens, model(image)["res3"])
        # A model that ends after two blocks.
        short = build(depth=2)
        short.load_state_dict({k: v for k, v in model.state_dict().items() if k in short.state_dict()})
        final, (second,) = model.forward_intermediates(image, [1], stop_early=True, output_fmt="NLC")
        torch.testing.assert_close(final, short.forward_features(image))
        torch.testing.assert_close(model.norm(second), final)
        torch.testing.assert_close(model.get_intermediate_layers(image, [1])[0], second)
        assert not torch.allclose(model.forward_features(image), final, atol=1e-2)


def test_timm_wraps_it_and_sensors_by_name_pass_through(image):
    model = build((RGB, COVER))
    net = FeatureGetterNet(model, out_indices=(1, -1), norm=True)
    assert net.feature_info.channels() == [16, 16] and net.feature_info.reduction() == [8, 8]
    assert model.feature_info.channels() == [16] * 5 and model.feature_info.module_name(-1) == "blocks.4"
    batch = {"rgb": image, "cover": None}
    with torch.no_grad():
        got, expected = net(batch), model.get_intermediate_layers(model.assemble(batch), (1, -1), reshape=True, norm=True)
    assert all(map(torch.equal, got, expected)) and len(got) == 2


def test_timm_decays_no_tokens_and_no_tables_of_classes():
    model = build((RGB, COVER))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    without, decayed = param_groups_weight_decay(model, 0.1, no_weight_decay_list=model.no_weight_decay())
    assert without["weight_decay"] == 0
    undecayed = {names[id(parameter)] for parameter in without["params"]}
    matrices = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    assert undecayed & matrices == {"fusion_tokens", "patch_embed.cover.class_embed.weight"}
    assert len(undecayed) + len(decayed["params"]) == len(names)


def test_other_switches():
    model = build()
    model.set_grad_checkpointing()
    assert model.checkpoint_blocks
    model.reset_classifier(0)
    with pytest.raises(ValueError, match="num_classes is 10, expected 0: the backbone has no classifier"):
        model.reset_classifier(10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"indices": 6}, "6 last blocks are asked for, expected 1 to 5"),
        ({"indices": [0, 5]}, r"indices is \[0, 5\], expected some blocks in -5..4"),
        ({"indices": []}, r"indices is \[\]"),
        ({"output_fmt": "NHWC"}, "output_fmt is 'NHWC', expected one of"),
    ],
)
def test_unknown_blocks_and_formats_are_named(image, arguments, message):
    with pytest.raises(ValueError, match=message):
        build().forward_intermediates(image, **arguments)
