"""Whatever a mapper gives, the backbone sees bands and validity; or an error says what to do."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import LazyCall as L
from detectron2.config import get_cfg, instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, GeneralizedRCNN, build_backbone, build_model
from detectron2.structures import Boxes, Instances
from torch import nn

from imrsf_d2.config import add_imrsf_config, finalize_config
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling.image_layout import to_complete_layout, with_validity
from imrsf_d2.modeling.vit import IncompleteMultimodalViT

RGB_DEM = [{"NAME": "rgb", "CHANNELS": 3, "MEAN": [120.0, 110.0, 100.0]}, {"NAME": "dem", "MEAN": [5.0], "NODATA": -9999}]
SIZES = {"patch_size": 8, "embed_dim": 16, "depth": 4, "num_heads": 2}


def config(modalities, finalize=True):
    cfg = get_cfg()
    add_imrsf_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    cfg.MODEL.BACKBONE.NAME = "build_imrsf_vit_backbone"
    cfg.MODEL.SEM_SEG_HEAD.NAME = "SizeHead"
    cfg.MODEL.IMRSF.MODALITIES = modalities
    cfg.MODEL.IMRSF.OUT_LAYERS = [0, 1, 2, 3]
    for key, value in SIZES.items():
        cfg.MODEL.IMRSF[key.upper()] = value
    if finalize:
        finalize_config(cfg)
    return cfg


@SEM_SEG_HEADS_REGISTRY.register()
class SizeHead(nn.Module):
    """A head that does nothing."""

    def __init__(self, cfg, input_shape: dict[str, ShapeSpec]):
        super().__init__()

    def forward(self, features, targets=None):
        return F.interpolate(features["res2"], scale_factor=4), {}


def seen(model, samples):
    """What a model's backbone gets."""
    found = []
    hook = model.backbone.register_forward_pre_hook(lambda module, args: found.append(args[0]))
    try:
        model.eval()(samples)
    finally:
        hook.remove()
    return found[0]


def test_bands_alone_get_the_validity_of_nan_nodata_and_padding():
    image = torch.rand(4, 20, 24)
    image[1, 0, 0] = torch.nan
    image[3, 5] = -9999
    complete = to_complete_layout({"image": image}, ModalitySet(RGB_DEM))["image"]
    rgb, dem = torch.ones(2, 20, 24)
    rgb[0, 0] = dem[5] = 0
    assert torch.equal(complete[4:], torch.stack([rgb, dem]))
    assert complete[:3, 0, 0].tolist() == [120, 110, 100] and (complete[3, 5] == 5).all()
    assert torch.equal(complete[0] * rgb, image[0] * rgb)

    padded = F.pad(image, (0, 8, 0, 4), value=128.0)  # as Mask2Former's mappers do
    inside = F.pad(torch.stack([rgb, dem]), (0, 8, 0, 4))
    assert torch.equal(to_complete_layout({"image": padded}, ModalitySet(RGB_DEM))["image"][4:], inside)
    mask = torch.ones(24, 32, dtype=torch.bool)
    mask[:20, :24] = False
    padded = F.pad(image, (0, 8, 0, 4), value=7.0)
    found = to_complete_layout({"image": padded, "padding_mask": mask}, ModalitySet(RGB_DEM))["image"]
    assert torch.equal(found[4:], inside)
    image[:, -2:] = 128.0  # data, as the mask knows
    padded = F.pad(image, (0, 8, 0, 4), value=128.0)
    found = to_complete_layout({"image": padded, "padding_mask": mask}, ModalitySet(RGB_DEM))["image"]
    assert torch.equal(found[4, :20, :24], rgb) and found[4].sum() == rgb.sum()
    gray = torch.full((3, 8, 8), 128.0)
    gray[0, 7, 7] = 127  # one pixel that is not padding, in the corner
    assert to_complete_layout({"image": gray}, ModalitySet(RGB_DEM[:1]))["image"][3].all()


def test_any_model_of_detectron2_reads_both_layouts_alike_and_never_takes_padding_for_data():
    model = build_model(config(RGB_DEM))
    image = torch.rand(4, 40, 36)
    image[3] = torch.nan
    complete = torch.cat([image.nan_to_num(5.0), torch.ones(1, 40, 36), torch.zeros(1, 40, 36)])
    mixed = [{"image": complete}, {"image": torch.rand(4, 64, 64)}]
    assert torch.equal(seen(model, mixed), seen(model, [{"image": image}, *mixed[1:]]))
    batch = seen(model, [{"image": image}, *mixed[1:]])
    assert batch.shape == (2, 6, 64, 64) and batch[0, 4].sum() == 40 * 36 and not batch[0, 5].any()
    # ... also a copy, one that was written, and one with its own names for what it is called with
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(seen(other, [{"image": image}, *mixed[1:]]), batch)
    assert model.eval()(batched_inputs=[{"image": image}])[0]["sem_seg"].shape == (16, 40, 36)


def test_images_to_be_predicted_are_not_taken_to_be_padded():
    model = build_model(config(RGB_DEM))
    image = torch.full((4, 32, 32), 128.0)
    assert seen(model, [{"image": image}])[0, 4:].all()


def test_parts_of_a_model_that_take_samples_read_both_layouts_too():
    """`GeneralizedRCNN.inference`, which Detectron2's test-time augmentation calls too, passes by `forward`."""
    modalities = ModalitySet(RGB_DEM[1:])

    class NoObjects(nn.Module):
        def forward(self, images, features, *args):
            return [Instances(size, pred_boxes=Boxes(torch.zeros(0, 4))) for size in images.image_sizes], {}

    model = GeneralizedRCNN(
        backbone=build_backbone(config(RGB_DEM[1:])),
        proposal_generator=NoObjects(),
        roi_heads=NoObjects(),
        pixel_mean=modalities.pixel_mean,
        pixel_std=modalities.pixel_std,
    ).eval()
    bands = torch.rand(1, 40, 36)
    bands[0, :32] = torch.nan
    complete = torch.cat([bands.nan_to_num(5.0), bands.isfinite()])
    expected = seen(model, [{"image": complete}])
    assert expected.shape == (1, 2, 64, 64) and expected[0, 1].sum() == 8 * 36
    for called in (model, copy.deepcopy(model)):
        found = []
        called.backbone.register_forward_pre_hook(lambda module, args, found=found: found.append(args[0]))
        for image in (bands, complete):  # PyTorch would broadcast bands alone to both channels
            called([{"image": image}])
            called.inference([{"image": image}])
            found.append(called.preprocess_image([{"image": image}]).tensor)
        assert len(found) == 6 and all(torch.equal(image, expected) for image in found)


@pytest.mark.parametrize(
    "channels, message",
    [
        (
            3,
            r"image of a.tif is \[3, 16, 16\], expected a tensor \[4, H, W\] .* or \[6, H, W\] .*rgb\[3\], dem\[1\].*Name what.*with_validity",
        ),
        (5, r"is \[5, 16, 16\].*with_validity\(mapper, cfg, alpha=True\)"),
        (1, r"is \[1, 16, 16\]"),  # PyTorch would broadcast it
    ],
)
def test_another_layout_is_named_before_torch_fails(channels, message):
    model = build_model(config(RGB_DEM))
    with pytest.raises(ValueError, match=message):
        model([{"image": torch.rand(channels, 16, 16), "file_name": "a.tif"}])


def test_a_fourth_band_is_not_taken_for_validity():
    model = build_model(config(RGB_DEM[:1]))
    with pytest.raises(ValueError, match=r"last 1 should be validity .*hold .* to 255.*name them in MODEL.IMRSF.MODALITIES"):
        model([{"image": torch.full((4, 16, 16), 255, dtype=torch.uint8)}])


def test_a_wrapped_mapper_reads_alpha():
    image = torch.rand(5, 16, 16)
    image[4, :8] = 0
    for given in (config(RGB_DEM), [Modality.from_mapping(entry) for entry in RGB_DEM]):
        mapper = with_validity(lambda sample: {"image": sample, "image_id": 3}, given, alpha=True)
        sample = mapper(image)
        assert sample["image_id"] == 3 and sample["image"].shape == (6, 16, 16)
        assert (sample["image"][4:, :8] == 0).all() and (sample["image"][4:, 8:] == 1).all()
        assert torch.equal(sample["image"][:4, 8:], image[:4, 8:])
    with pytest.raises(ValueError, match=r"\[4, 16, 16\], expected \[5, H, W\] with alpha=True"):
        mapper(image[:4])
    gray = torch.full((4, 16, 16), 128)
    assert with_validity(lambda sample: {"image": sample}, given, padding_value=None)(gray)["image"][4:].all()
    assert with_validity(lambda sample: None, given)(gray) is None


@pytest.mark.parametrize("modalities", [RGB_DEM, [{"NAME": "sar", "CHANNELS": 2, "MEAN": [1.0, 2.0]}]], ids=["6", "3"])
def test_without_finalize_config_a_model_normalizes_as_its_modalities_say(modalities):
    """Scripts of other projects freeze their config and build; Detectron2's own mean and deviation have 3 channels."""
    cfg, expected = config(modalities, finalize=False), config(modalities)
    cfg.freeze()
    model = build_model(cfg)
    assert cfg.is_frozen() and cfg.MODEL.is_frozen() and cfg.MODEL == expected.MODEL
    assert model.pixel_mean.flatten().tolist() == expected.MODEL.PIXEL_MEAN
    assert model.pixel_std.flatten().tolist() == expected.MODEL.PIXEL_STD


def test_another_normalization_is_an_error():
    model = build_model(config(RGB_DEM))
    model.register_buffer("pixel_mean", torch.zeros(4, 1, 1), False)
    with pytest.raises(ValueError, match=r"MODEL.PIXEL_MEAN is .*pixel_mean and pixel_std of imrsf_d2.ModalitySet"):
        model([{"image": torch.rand(4, 16, 16)}])


@pytest.mark.parametrize(
    "modalities",
    [
        [L(Modality)(name="rgb", channels=3, mean=[120.0, 110.0, 100.0]), L(Modality)(name="dem", mean=[5.0], nodata=-9999)],
        [dict(name="rgb", channels=3, mean=[120.0, 110.0, 100.0]), dict(name="dem", mean=[5.0], nodata=-9999)],
        RGB_DEM,
    ],
    ids=["L(Modality)", "keywords", "keys of the YAML"],
)
def test_a_lazy_config_gives_the_model_of_the_yaml(modalities):
    torch.manual_seed(1)
    expected = build_backbone(config(RGB_DEM))
    torch.manual_seed(1)
    lazy = L(IncompleteMultimodalViT)(modalities=modalities, out_layers=[0, 1, 2, 3], **SIZES)
    model = instantiate(lazy)
    assert tuple(model.modalities) == tuple(expected.modalities) and model.out_layers == expected.out_layers
    weights = expected.state_dict()
    assert all(torch.equal(value, weights.pop(name)) for name, value in model.state_dict().items()) and not weights
    image = torch.rand(1, 6, 32, 32)
    assert all(torch.equal(value, model(image)[name]) for name, value in expected(image).items())
