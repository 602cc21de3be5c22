"""Converted weights compute what the model they come from computes, and nothing is lost without a word."""

import pytest
import timm
import torch
import torch.nn.functional as F

from imrsf_d2.checkpoint.conversion import convert_file, convert_weights
from imrsf_d2.checkpoint.files import read_weights, write_weights
from imrsf_d2.checkpoint.positions import compare_positions
from imrsf_d2.modalities import Modality
from imrsf_d2.modeling.encoder import IncompleteMultimodalEncoder
from tests.checkpoint.sources import (
    CLASSES,
    DEPTH,
    DIM,
    GRID,
    HEADS,
    PATCH,
    SOURCES,
    MultiMAE,
    column_first,
    of_mae,
    of_timm,
    row_first,
    shake,
)

MODALITIES = (
    Modality("sar", 1),
    Modality("rgb", 3),
    Modality("dsm", 1),
    Modality("s2", 4),
    Modality("landuse", classes=CLASSES),
)
SIZE = PATCH * GRID


def build_encoder(modalities=MODALITIES, **changes):
    arguments = dict(patch_size=PATCH, embed_dim=DIM, depth=DEPTH, num_heads=HEADS) | changes
    return IncompleteMultimodalEncoder(modalities=modalities, **arguments).eval()


def load(encoder, conversion):
    assert all(name.startswith("backbone.") for name in conversion.tensors)
    weights = {name.removeprefix("backbone."): value for name, value in conversion.tensors.items()}
    assert not encoder.load_state_dict(weights, strict=False).unexpected_keys
    return encoder


@torch.no_grad()
def stream_of(encoder, name, bands):
    """[1, N, D]: what the encoder makes of one modality's bands [1, C, H, W] alone, after the last block."""
    image = torch.full((1, encoder.modalities.num_bands, *bands.shape[2:]), float("nan"))
    image[:, encoder.modalities.bands(name)] = bands
    return encoder.encode(image, streams=True).streams[name]


def how(conversion, ours):
    (row,) = [row for row in conversion.rows if row.ours == ours]
    return row.how


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SOURCES)
@torch.no_grad()
def test_a_stream_is_what_the_source_computes_from_the_same_image_and_positions(name):
    source, image = SOURCES[name](), torch.randn(1, 3, SIZE, SIZE)
    conversion = convert_weights(source.source, source.weights, build_encoder())
    encoder = load(build_encoder(), conversion)
    expected = source.tokens(image, column_first())
    close(stream_of(encoder, "rgb", image), expected)
    close(encoder.norm(stream_of(encoder, "rgb", image)), source.norm(expected))


@pytest.mark.parametrize("name, bands", [("rgb", 3), ("dsm", 1), ("landuse", 1)])
@torch.no_grad()
def test_multimae_with_its_own_positions_sees_the_image_transposed(name, bands):
    source = MultiMAE()
    image = torch.randn(1, bands, SIZE, SIZE) if name != "landuse" else torch.randint(0, CLASSES, (1, 1, SIZE, SIZE))
    encoder = build_encoder()
    load(encoder, convert_weights("multimae", source.state_dict(), encoder))
    theirs = source.tokens({"dsm": "depth", "landuse": "semseg"}.get(name, name), image.transpose(2, 3))
    transposed = theirs.unflatten(1, (GRID, GRID)).transpose(1, 2).flatten(1, 2)
    close(stream_of(encoder, name, image.float()), transposed)


def test_learned_positions_leave_kernels_as_they_are():
    weights = MultiMAE().state_dict()
    weights["input_adapters.rgb.pos_emb"] = torch.randn(1, DIM, GRID, GRID)
    tensors = convert_weights("multimae", weights, build_encoder()).tensors
    rgb, depth = (weights[f"input_adapters.{name}.proj.weight"] for name in ("rgb", "depth"))
    assert torch.equal(tensors["backbone.patch_embed.rgb.proj.weight"], rgb)
    assert torch.equal(tensors["backbone.patch_embed.dsm.proj.weight"], depth.transpose(2, 3))


@pytest.mark.slow
@torch.no_grad()
def test_vit_b_of_timm():
    model = shake(timm.create_model("vit_base_patch16_224", pretrained=False), 0.01)
    modalities, image = (Modality("rgb", 3), Modality("sar", 1)), torch.randn(1, 3, 64, 64)
    with torch.device("meta"):
        shapes = IncompleteMultimodalEncoder(modalities=modalities)
    conversion = convert_weights("timm", model.state_dict(), shapes)
    encoder = load(IncompleteMultimodalEncoder(modalities=modalities).eval(), conversion)
    tokens = F.conv2d(image, model.patch_embed.proj.weight, model.patch_embed.proj.bias, stride=16).flatten(2)
    close(stream_of(encoder, "rgb", image), model.blocks(tokens.transpose(1, 2) + column_first(4, 768)))


@pytest.mark.slow
@torch.no_grad()
def test_vit_b_of_multimae():
    """With the shapes of the published checkpoint: 133 classes in patches of 4 x 4 px, at a quarter of the size."""
    source = MultiMAE(768, 12, 12, patch=16, grid=4, classes=133, class_patch=4, amount=0.01)
    modalities = (Modality("rgb", 3), Modality("landuse", classes=133), Modality("dnw", classes=9))
    image = torch.randn(1, 3, 64, 64)
    with torch.device("meta"):
        shapes = IncompleteMultimodalEncoder(modalities=modalities)
    conversion = convert_weights("multimae", source.state_dict(), shapes)
    encoder = load(IncompleteMultimodalEncoder(modalities=modalities).eval(), conversion)
    theirs = source.tokens("rgb", image.transpose(2, 3)).unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2)
    close(stream_of(encoder, "rgb", image), theirs)
    assert how(conversion, "patch_embed.landuse.*") == "left random: patches of 4 x 4 px, ours 16 x 16"
    assert how(conversion, "patch_embed.dnw.*") == "left random: 9 classes, the source has 133"


def test_other_numbers_of_bands_take_the_scaled_mean():
    source = of_timm()
    source.weights["patch_embed.proj.weight"][0, :, 1, 2] = torch.tensor([1.0, 2.0, 6.0])
    source.weights["patch_embed.proj.bias"][0] = 0.5
    tensors = convert_weights("timm", source.weights, build_encoder()).tensors
    assert tensors["backbone.patch_embed.rgb.proj.weight"][0, :, 1, 2].tolist() == [1.0, 2.0, 6.0]
    assert tensors["backbone.patch_embed.sar.proj.weight"][0, :, 1, 2].tolist() == [9.0]
    assert tensors["backbone.patch_embed.s2.proj.weight"][0, :, 1, 2].tolist() == [2.25] * 4
    biases = [tensors[f"backbone.patch_embed.{name}.proj.bias"] for name in ("rgb", "sar", "dsm", "s2")]
    assert [bias[0].item() for bias in biases] == [0.5] * 4


@torch.no_grad()
def test_the_same_value_in_all_bands_gives_the_same_token_whatever_their_number():
    source = of_mae()
    encoder = load(build_encoder(), convert_weights("mae", source.weights, build_encoder()))
    band = torch.randn(1, 1, SIZE, SIZE)
    expected = stream_of(encoder, "rgb", band.expand(-1, 3, -1, -1))
    for name, bands in (("sar", 1), ("s2", 4)):
        close(stream_of(encoder, name, band.expand(-1, bands, -1, -1)), expected)


def test_a_modality_of_the_sources_takes_its_own_projection():
    weights = MultiMAE().state_dict()
    for kind in ("weight", "bias"):
        weights[f"input_adapters.s2.proj.{kind}"] = torch.randn_like(weights[f"input_adapters.rgb.proj.{kind}"])
    weights["input_adapters.s2.proj.weight"] = torch.randn(DIM, 4, PATCH, PATCH)
    tensors = convert_weights("multimae", weights, build_encoder()).tensors
    for kind in ("weight", "bias"):
        assert torch.equal(tensors[f"backbone.patch_embed.s2.proj.{kind}"], weights[f"input_adapters.s2.proj.{kind}"])


def test_the_table_says_what_went_where():
    conversion = convert_weights("multimae", MultiMAE().state_dict(), build_encoder())
    exchanged = "ours with rows and columns exchanged; patches are transposed to match"
    assert [(row.source, row.ours, row.how) for row in conversion.rows] == [
        ("encoder.0-1.norm1", "blocks.0-1.norm1", "as is"),
        ("encoder.0-1.attn.qkv", "blocks.0-1.attn.qkv", "as is"),
        ("encoder.0-1.attn.proj", "blocks.0-1.attn.proj", "as is"),
        ("encoder.0-1.norm2", "blocks.0-1.norm2", "as is"),
        ("encoder.0-1.mlp.fc1", "blocks.0-1.mlp.fc1", "as is"),
        ("encoder.0-1.mlp.fc2", "blocks.0-1.mlp.fc2", "as is"),
        ("", "attention", "assumed (MODEL.IMRSF.NUM_HEADS); checkpoints do not store the number of heads"),
        ("input_adapters.rgb.pos_emb", "", exchanged),
        ("input_adapters.depth.pos_emb", "", exchanged),
        ("input_adapters.semseg.pos_emb", "", exchanged),
        ("input_adapters.rgb.proj", "patch_embed.sar.*", "mean over 3 bands, x 3/1 for each of 1"),
        ("input_adapters.rgb.proj", "patch_embed.rgb.*", "as is"),
        ("input_adapters.depth.proj", "patch_embed.dsm.*", "as is"),
        ("input_adapters.rgb.proj", "patch_embed.s2.*", "mean over 3 bands, x 3/4 for each of 4"),
        ("input_adapters.semseg.proj", "patch_embed.landuse.*", "as is, if the classes are the same"),
        ("global_tokens", "", "dropped: the encoder has no place for it"),
        ("output_adapters.*", "", "dropped: the encoder has no place for it"),
        ("", "fusion_tokens", "left random"),
        ("", "bilstm.*", "left random"),
        ("", "norm.*", "left random"),
    ]
    encoder = build_encoder()
    filled = sum(p.numel() for name, p in encoder.named_parameters() if f"backbone.{name}" in conversion.tensors)
    total = sum(p.numel() for p in encoder.parameters())
    assert (conversion.num_filled, conversion.num_parameters) == (filled, total)
    share = f"{100 * filled / total:.1f} % of the encoder's {total:,} parameters are filled."
    assert str(conversion).endswith(f"\n\n{share}")
    assert "encoder.0-1.attn.qkv           blocks.0-1.attn.qkv    96 x 32, 96" in str(conversion)


def test_joined_parts_and_a_missing_norm_are_in_the_table():
    source = SOURCES["Hugging Face"]()
    rows = {row.ours: row for row in convert_weights("vit", source.weights, build_encoder()).rows}
    qkv = rows["blocks.0-1.attn.qkv"]
    assert (qkv.source, qkv.how) == ("encoder.layer.0-1.attention.attention.{query,key,value}", "as is, 3 joined")
    averaged = of_timm(global_pool="avg")
    rows = {(row.source, row.ours): row.how for row in convert_weights("timm", averaged.weights, build_encoder()).rows}
    assert rows["", "norm.*"] == "left random" and rows["fc_norm.*", ""].startswith("dropped")


@pytest.mark.parametrize("heads, dim, warned", [(12, 768, False), (8, 768, True), (6, 384, False), (4, DIM, False)])
def test_an_unusual_number_of_heads_is_warned_of(heads, dim, warned):
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=SIZE, patch_size=PATCH, embed_dim=dim, depth=1, num_heads=heads, num_classes=0
    )
    with torch.device("meta"):
        encoder = build_encoder(embed_dim=dim, num_heads=heads, depth=1)
    assert how(convert_weights("timm", model.state_dict(), encoder), "attention").startswith("WARNING") == warned


def test_another_patch_size_leaves_projections_random():
    conversion = convert_weights("timm", of_timm().weights, build_encoder(patch_size=8))
    assert how(conversion, "patch_embed.rgb.*") == "left random: patches of 4 x 4 px, ours 8 x 8"
    assert not [name for name in conversion.tensors if "patch_embed" in name]


def test_half_precision_becomes_float32():
    weights = {name: value.half() for name, value in of_mae().weights.items()}
    conversion = convert_weights("mae", weights, build_encoder())
    assert {tensor.dtype for tensor in conversion.tensors.values()} == {torch.float32}
    assert "the same as ours, which is computed" in [row.how for row in conversion.rows]


def test_mae_without_its_decoder_has_the_names_of_timm():
    weights = {name: value for name, value in of_mae().weights.items() if not name.startswith("decoder_")}
    assert (
        convert_weights("mae", weights, build_encoder()).tensors.keys()
        == convert_weights("timm", weights, build_encoder()).tensors.keys()
    )


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
def test_positions_are_compared_patch_by_patch(prefix):
    ours = torch.cat([torch.randn(prefix, DIM), column_first(4)])[None]
    match = compare_positions(ours)
    assert (match.how, match.exchanged) == ("the same as ours, which is computed", False)
    assert compare_positions(row_first(4)).exchanged
    assert compare_positions(1.25 * ours).how.endswith("this one differs from it by 25 % of its norm")
    # A grid that is not square, row by row.
    wide = torch.cat([column_first(4)[row * 4 : row * 4 + 3] for row in range(2)]).T.reshape(1, DIM, 2, 3)
    assert compare_positions(wide).how == "the same as ours, which is computed"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"init_values": 0.1}, r"has blocks\.\*\.ls1\.gamma, blocks\.\*\.ls2\.gamma too; .*cannot represent"),
        ({"qk_norm": True}, r"has blocks\.\*\.attn\.q_norm\.weight, .*cannot represent"),
        ({"qkv_bias": False}, r"lacks blocks\.\*\.attn\.qkv\.bias; .*cannot represent"),
        ({"pre_norm": True}, r"also has norm_pre\.weight, norm_pre\.bias, .*cannot represent"),
        ({"mlp_layer": timm.layers.GluMlp}, r"gated MLPs: mlp\.fc1 gives 128 values and mlp\.fc2 takes 64"),
        ({"depth": 3}, r"has 3 blocks, expected MODEL\.IMRSF\.DEPTH = 2"),
        ({"depth": 1}, r"has 1 blocks, expected MODEL\.IMRSF\.DEPTH = 2"),
        ({"embed_dim": 48}, r"tokens of width 48, expected MODEL\.IMRSF\.EMBED_DIM = 32"),
        ({"mlp_ratio": 2}, r"MLPs of width 64, 2 times that of a token; expected MODEL\.IMRSF\.MLP_RATIO = 4"),
    ],
)
def test_what_the_encoder_cannot_represent_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        convert_weights("timm", of_timm(**arguments).weights, build_encoder())


@pytest.mark.parametrize(
    "said, name",
    [
        ("multimae", "timm"),
        ("vit", "timm"),
        ("timm", "mae"),
        ("mae", "torchvision"),
        ("timm", "Hugging Face, transformers 5, with a head"),
    ],
)
def test_another_kind_of_checkpoint_is_recognized(said, name):
    source = SOURCES[name]()
    with pytest.raises(ValueError, match=f"a.pth looks like {source.source} .*expected {said}.*--from {source.source}"):
        convert_weights(said, source.weights, build_encoder(), "a.pth")


def test_something_else_is_no_vit():
    weights = dict.fromkeys(("layer1.0.conv.weight", "layer1.1.conv.weight", "fc.bias"), torch.zeros(1))
    with pytest.raises(ValueError, match=r"holds layer1\.\*\.conv\.weight, fc\.bias, expected the names of a ViT: mae"):
        convert_weights("vit", weights, build_encoder())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_in_and_out(tmp_path, suffix):
    write_weights(tmp_path / f"in{suffix}", of_mae().weights)
    conversion = convert_file("mae", tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", build_encoder())
    written = read_weights(tmp_path / f"out{suffix}")
    assert written.keys() == conversion.tensors.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in conversion.tensors.items())


def test_no_file_is_overwritten_and_none_is_left_after_an_error(tmp_path):
    path, output = tmp_path / "in.pth", tmp_path / "out.pth"
    write_weights(path, of_timm().weights)
    output.write_text("somebody's")
    with pytest.raises(FileExistsError, match="out.pth exists and is left alone"):
        convert_file("timm", path, output, build_encoder())
    with pytest.raises(FileExistsError, match="in.pth is the input"):
        convert_file("timm", path, path, build_encoder())
    with pytest.raises(ValueError, match=r"out\.npz ends in '\.npz'"):
        convert_file("timm", path, tmp_path / "out.npz", build_encoder())
    with pytest.raises(ValueError, match="in.pth has 2 blocks"):
        convert_file("timm", path, tmp_path / "new.pth", build_encoder(depth=3))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.pth", "out.pth"]
    assert output.read_text() == "somebody's"
