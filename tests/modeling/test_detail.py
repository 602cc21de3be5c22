"""Details of the sensors on the fine maps: against a reference of one sensor, one image, one pixel at a time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from imrsf_d2.engine.optimizer import parameter_groups
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.tokens import keep_modalities
from imrsf_d2.modeling.vit import MAP_MODULES
from tests.modeling.conftest import MODALITIES, SUBSETS, build, make_images

SET = ModalitySet(MODALITIES)
WIDTH = 4
VARIANTS = [{}, {"masked_attention": False}, {"absent": "zeros"}]
#: Sides of a patch, and sizes that patches divide, and neither 8 nor, of 2 px, 4.
GEOMETRIES = [(8, (16, 24)), (4, (12, 16)), (4, (12, 12)), (2, (14, 10))]


def conv(layer, values, stride):
    """A 3 x 3 convolution of [C, H, W] from its definition."""
    padded = F.pad(values, (1, 1, 1, 1))
    height, width = (-(-side // stride) for side in values.shape[1:])
    out = values.new_zeros(len(layer.weight), height, width)
    for i in range(height):
        for j in range(width):
            window = padded[:, stride * i : stride * i + 3, stride * j : stride * j + 3]
            out[:, i, j] = (layer.weight * window).sum(dim=(1, 2, 3)) + layer.bias
    return out


def in_blocks(values, side):
    """[h, w, side * side] of [H, W]: what lies in each block, 0 beyond the border."""
    height, width = values.shape
    whole = F.pad(values, (0, -width % side, 0, -height % side))
    return whole.unflatten(0, (-1, side)).unflatten(2, (-1, side)).transpose(1, 2).flatten(2)


def normalized(norm, values):
    centered = values - values.mean(dim=0)
    scaled = centered / (centered.square().mean(dim=0) + norm.eps).sqrt()
    return F.gelu(scaled * norm.weight[:, None, None] + norm.bias[:, None, None])


def reference(vit, image):
    """What is added to res2 and res3 of one image [5 + 3, H, W] by the sensors that it has."""
    stem, total, weight = vit.detail, 0.0, 0.0
    present = vit.read(image[None]).present[0]
    for m, modality in enumerate(MODALITIES):
        usable = image[5 + m].clone()
        patch, across = vit.patch_size, image.shape[2] // vit.patch_size
        for n in range(present.shape[1]):
            if not present[m, n]:
                top, left = patch * (n // across), patch * (n % across)
                usable[top : top + patch, left : left + patch] = 0
        if vit.absent == "zeros":
            usable = torch.ones_like(usable)
        if not usable.any():
            continue
        sensor = stem.sensors[modality.name]
        bands = image[SET.bands(modality.name)].clone()
        bands[:, image[5 + m] == 0] = 0
        if modality.categorical:
            bands = sensor.class_embed.weight[bands[0].long()].permute(2, 0, 1)
        values = torch.cat([bands * usable, usable[None]])
        there = usable
        for stage in sensor.stages:
            there = in_blocks(there, 2).amax(dim=2)
            values = normalized(stage[1], conv(stage[0], values, 2)) * there
        share = in_blocks(usable, 4).mean(dim=2)
        total, weight = total + conv(sensor.last, values, 1) * share, weight + share
    mean = total / weight.clamp(min=1e-300)
    fine, coarse = stem.maps["res2"], stem.maps["res3"]
    at_res2 = (
        torch.einsum("dw,whv->dhv", fine[2].weight[:, :, 0, 0], normalized(fine[0], mean)) + fine[2].bias[:, None, None]
    )
    at_res3 = conv(coarse[2], normalized(coarse[0], mean), 2)
    somewhere = weight > 0
    return at_res2 * somewhere, at_res3 * in_blocks(somewhere, 2).amax(dim=2)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("patch, size", GEOMETRIES, ids=str)
@torch.no_grad()
def test_details_are_those_of_the_definition(changes, patch, size):
    vit = build(detail=WIDTH, patch_size=patch, **changes)
    images = torch.cat([make_images([SUBSETS[7], SUBSETS[5]], "partial", size), make_images(SUBSETS[1:4], size=size)])
    found = vit(images)
    stem, vit.detail = vit.detail, None
    plain, vit.detail = vit(images), stem
    assert all(torch.equal(found[name], plain[name]) for name in ("res4", "res5"))
    for i, image in enumerate(images):
        for name, added in zip(("res2", "res3"), reference(vit, image)):
            torch.testing.assert_close(found[name][i] - plain[name][i], added, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@torch.no_grad()
def test_a_sweep_equals_passes_of_their_own_and_padding_changes_nothing(changes):
    vit = build(detail=WIDTH, **changes).eval()
    images = torch.cat([make_images([SUBSETS[7], SUBSETS[5]], "partial"), make_images([SUBSETS[4]])])
    swept = vit.forward_subsets(images, SUBSETS)
    for subset, maps in zip(SUBSETS, swept, strict=True):
        alone = vit(keep_modalities(images, SET, subset))
        for name, grid in maps.items():
            torch.testing.assert_close(grid, alone[name], rtol=1e-10, atol=1e-10)
    if vit.absent == "skip":
        stem = vit.detail
        detail, wide = (
            stem.encode_sensor("rgb", values[:, 1:4], values[:, 6] > 0) for values in (images, F.pad(images, (0, 8, 0, 8)))
        )
        height, width = detail.values.shape[2:]
        torch.testing.assert_close(wide.values[:, :, :height, :width], detail.values, rtol=1e-10, atol=1e-12)


def test_every_parameter_has_a_gradient_whatever_is_missing():
    vit = build(detail=WIDTH)
    for subset in SUBSETS:
        vit.zero_grad()
        sum(grid.square().sum() for grid in vit(make_images([subset] * 2)).values()).backward()
        assert not [name for name, parameter in vit.named_parameters() if parameter.grad is None], subset
        for modality in MODALITIES:
            used = any(parameter.grad.any() for parameter in vit.detail.sensors[modality.name].parameters())
            assert used == (modality.name in subset)


def test_what_pretraining_does_not_give_learns_like_the_heads_and_is_not_frozen():
    model = nn.Module()
    model.backbone = build(detail=WIDTH, freeze=True)
    groups = parameter_groups(model, base_lr=1.0, weight_decay=0.0, backbone_multiplier=0.1)
    makes_maps = {id(parameter) for name in MAP_MODULES for parameter in getattr(model.backbone, name).parameters()}
    assert {id(parameter) for group in groups for parameter in group["params"] if group["lr"] == 1.0} == makes_maps
    assert len(groups) == 1  # the encoder is frozen
    assert model.backbone.train().detail.training and not model.backbone.blocks.training
    model.backbone = build(detail=WIDTH)
    groups = parameter_groups(model, base_lr=1.0, weight_decay=0.0, backbone_multiplier=0.1)
    slow = [parameter for group in groups for parameter in group["params"] if group["lr"] == 0.1]
    assert len(slow) == len(list(build().parameters())) - len(list(build().pyramid.parameters()))
