"""Our backbone under Detectron2's feature pyramids: what they promise, and what of a config cannot be meant."""

import pytest
import torch
from detectron2.modeling import build_backbone

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.utils.errors import InputError
from tests.tiny import REPOSITORY

CONFIGS = {name: REPOSITORY / f"configs/quick/dfc2023_mask_rcnn_{name}.yaml" for name in ("fpn", "vitdet")}
SMALL = ["MODEL.IMRSF.EMBED_DIM", "32", "MODEL.FPN.OUT_CHANNELS", "8", "MODEL.DEVICE", "cpu"]


@pytest.mark.parametrize("name, levels", [("fpn", [2, 3, 4, 5, 6]), ("vitdet", [2, 3, 4, 5])])
def test_maps_are_as_promised_and_say_nothing_of_absent_sensors(name, levels):
    backbone = build_backbone(load_config(CONFIGS[name], SMALL)).eval()
    image = torch.randn(2, 8, 64, 96)
    image[:, 5:] = 1
    image[1, [0, 5]] = 0  # the second sample lacks SAR
    with torch.no_grad():
        maps = backbone(image)
        image[1, 0] = torch.nan
        again = backbone(image)
    assert backbone.size_divisibility == (32 if name == "fpn" else 16)
    shapes = backbone.output_shape()
    assert list(maps) == list(shapes) == [f"p{level}" for level in levels]
    for level, (key, found) in zip(levels, maps.items()):
        assert shapes[key].stride == 2**level and found.shape == (2, shapes[key].channels, -(-64 >> level), -(-96 >> level))
        assert torch.equal(found, again[key]) and not torch.equal(found[0], found[1])


@pytest.mark.parametrize(
    "name, opts, message",
    [
        (
            "fpn",
            {"MODEL.FPN.IN_FEATURES": "['res2', 'res9']"},
            r"FPN.IN_FEATURES is \['res2', 'res9'\], expected MODEL.IMRSF.OUT_FEATURES",
        ),
        (
            "fpn",
            {f"MODEL.{key}": "['res2', 'res3', 'res3', 'res5']" for key in ("FPN.IN_FEATURES", "IMRSF.OUT_FEATURES")},
            "FPN.IN_FEATURES is .* each of twice the stride",
        ),
        (
            "fpn",
            {"MODEL.IMRSF.PATCH_SIZE": "64"},
            "strides of 4, 8, 16, 32 px, expected the last to be MODEL.IMRSF.PATCH_SIZE = 64",
        ),
        ("fpn", {"MODEL.RPN.IN_FEATURES": "['res4']"}, r"RPN.IN_FEATURES is \['res4'\], expected some of .*'p2', .*'p6'\]"),
        (
            "fpn",
            {"MODEL.ROI_HEADS.IN_FEATURES": "['p2', 'p7']"},
            r"ROI_HEADS.IN_FEATURES is \['p2', 'p7'\], expected some of",
        ),
        ("fpn", {"MODEL.BACKBONE.NAME": "build_imrsf_vit_backbone"}, "RPN.IN_FEATURES is .*'p2'.* gives: .'res2'"),
        ("fpn", {"MODEL.ROI_HEADS.NAME": "Res5ROIHeads"}, "expected 'StandardROIHeads'"),
        ("fpn", {"MODEL.ANCHOR_GENERATOR.SIZES": "[[8], [16]]"}, "ANCHOR_GENERATOR.SIZES .* one for each of the 5"),
        ("fpn", {"VIS_PERIOD": "20"}, "VIS_PERIOD is 20, expected 0"),
        ("vitdet", {"MODEL.IMRSF.SCALE_FACTORS": "[2.0, 1.0, 0.25]"}, "SCALE_FACTORS is .*0.25.*, expected some of"),
        ("vitdet", {"MODEL.IMRSF.SCALE_FACTORS": "[2.0, 0.5]"}, "SCALE_FACTORS is .2.0, 0.5., .* twice the stride"),
        ("vitdet", {"MODEL.IMRSF.SCALE_FACTORS": "[4.0, 2.0]"}, "strides of 2, 4 px, expected the last to be"),
        (
            "vitdet",
            {
                "MODEL.FPN.IN_FEATURES": "['res3', 'res4']",
                "MODEL.IMRSF.OUT_FEATURES": "['res3', 'res4']",
                "MODEL.IMRSF.OUT_LAYERS": "[2, 3]",
            },
            r"expected one map .* to \['res3'\], and MODEL.IMRSF.OUT_LAYERS to \[3\]",
        ),
    ],
)
def test_what_does_not_fit_is_named_before_a_model_is_built(name, opts, message):
    with pytest.raises(InputError, match=message):
        load_config(CONFIGS[name], [word for pair in opts.items() for word in pair])
