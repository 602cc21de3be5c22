"""Sensors by name are the same batch as the tensor that says the same, down to the sample of our mapper in our model."""

import pytest
import rasterio
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model

from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling.image_layout import to_complete_layout
from imrsf_d2.modeling.sensor_batch import assemble_sensors
from imrsf_d2.modeling.vit import IncompleteMultimodalViT
from tests.tiny import DEMO_CONFIGS, OVERRIDES

S2 = Modality("s2", channels=2, mean=(1.0, 2.0), std=(2.0, 4.0))
DEM = Modality("dem", mean=(5.0,), nodata=-9999)
COVER = Modality("cover", classes=3)
MODALITIES = ModalitySet([S2, DEM, COVER])
NAN = float("nan")


def build():
    return IncompleteMultimodalViT(modalities=MODALITIES, patch_size=8, embed_dim=16, depth=2, num_heads=2).eval()


@pytest.fixture
def sensors():
    return {
        "s2": 3 * torch.rand(2, 2, 32, 32),
        "dem": torch.randint(0, 90, (2, 1, 32, 32), dtype=torch.int16),
        "cover": torch.randint(0, 3, (2, 1, 32, 32), dtype=torch.uint8),
    }


def test_it_is_bit_for_bit_what_our_mapper_and_model_make_of_the_files(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    cfg = load_config(DEMO_CONFIGS["semantic"], [*OVERRIDES, "MODEL.DEVICE", "cpu"])
    model = build_model(cfg).eval()
    encode, seen = model.backbone.encode, []
    model.backbone.encode = lambda image, **others: (seen.append(image), encode(image, **others))[1]
    modalities = model.backbone.modalities
    (sample,) = DatasetCatalog.get("dfc2023_track2_semantic_val")[:1]
    for subset in modalities.subsets():
        image = build_mapper(cfg, is_train=False, keep=subset)(sample)["image"]
        sensors = dict.fromkeys(modalities.names)
        for name in subset:
            if modalities[name].transform == "none":  # as it is in the file, in the type of the file
                with rasterio.open(sample["modalities"][name]) as file:
                    sensors[name] = torch.from_numpy(file.read())[None]
            else:
                sensors[name] = image[modalities.bands(name)][None].clone()
                sensors[name][:, :, image[modalities.validity(name)] == 0] = NAN
        with torch.no_grad():
            model([{"image": image}])
            model.backbone(sensors)
        expected, got = seen[-2:]
        assert expected[:, modalities.num_bands :].any() and torch.equal(got, expected)


def test_what_is_missing_can_be_said_in_many_ways(sensors):
    """The second sample lacks `dem`; the reference is spelled out, channel by channel."""
    validity = torch.ones(2, 3, 32, 32)
    validity[1, 1] = 0
    dem = (sensors["dem"].float() - 5) * validity[:, 1:2]
    s2 = (sensors["s2"] - torch.tensor([1.0, 2.0]).view(2, 1, 1)) / torch.tensor([2.0, 4.0]).view(2, 1, 1)
    expected = torch.cat([s2, dem, sensors["cover"].float(), validity], dim=1)

    by_nan, by_nodata = sensors["dem"].float(), sensors["dem"].clone()
    by_nan[1], by_nodata[1] = NAN, -9999
    pixels = validity[:, 1].bool()
    for dem, valid in (
        (by_nan, None),
        (by_nodata, None),
        (sensors["dem"], {"dem": torch.tensor([True, False])}),
        (sensors["dem"], {"dem": torch.tensor([1, 0])}),
        (sensors["dem"], {"dem": pixels}),
        (sensors["dem"], torch.tensor([[True, True, True], [True, False, True]])),
        (sensors["dem"], validity),
    ):
        assert torch.equal(assemble_sensors(sensors | {"dem": dem}, MODALITIES, valid), expected)

    model = build()
    with torch.no_grad():
        got, maps = model(sensors | {"dem": by_nan}), model(expected)
        assert all(torch.equal(got[name], maps[name]) for name in maps)
        # None stands for a sensor that all lack, and so does leaving it out, whatever `valid` says of it.
        without = expected.clone()
        without[:, [2, 5]] = 0
        for given in (sensors | {"dem": None}, {name: sensors[name] for name in ("s2", "cover")}):
            assert torch.equal(model.assemble(given, {"dem": torch.ones(2)}), without)
        subsets = [("s2",), ("cover", "dem")]
        for got, subset in zip(model.forward_subsets(sensors, subsets), subsets):
            alone = model({name: sensors[name] for name in subset})
            assert all(torch.allclose(got[name], alone[name], atol=1e-5) for name in alone)
    assert model.double().assemble(sensors).dtype == torch.float64


def test_nodata_and_numbers_are_told_apart_in_the_type_that_they_come_in(sensors):
    """float16 has no -9999, and float32 neither 2147483646 nor 1e39."""
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        rounded = torch.full((2, 1, 32, 32), -9999.0).to(dtype)
        assert not assemble_sensors(sensors | {"dem": rounded}, MODALITIES)[:, 5].any()
        sample = {"image": torch.full((1, 8, 8), -9999.0).to(dtype)}
        assert not to_complete_layout(sample, ModalitySet([DEM]), padding_value=None)["image"][1].any()
    largest = ModalitySet([Modality("count", nodata=2**31 - 1)])
    counts = torch.full((1, 1, 8, 8), 2**31 - 2, dtype=torch.int32)
    assert assemble_sensors({"count": counts}, largest)[:, 1].all()
    assert not assemble_sensors({"count": counts + 1}, largest)[:, 1].any()
    assert not assemble_sensors({"count": torch.full((1, 1, 8, 8), 1e39, dtype=torch.float64)}, largest).any()


@pytest.mark.parametrize("size", [(0, 32, 32), (2, 0, 32)])
def test_a_batch_of_nothing_is_named(size):
    with pytest.raises(ValueError, match=rf"image is \[{size[0]}, 7, {size[1]}, 32\], expected at least one sample"):
        build()({"dem": torch.rand(size[0], 1, *size[1:])})


def test_a_pixel_without_data_in_one_band_is_missing_in_the_sensor(sensors):
    sensors["s2"][0, 1, :4] = float("inf")
    image = assemble_sensors(sensors, MODALITIES)
    assert not image[0, :2, :4].any() and not image[0, 4, :4].any()
    assert image[0, 4, 4:].all() and image[0, 5:].all() and image[1, 4:].all()


@pytest.mark.parametrize(
    ("change", "valid", "message"),
    [
        ({"lidar": None}, None, r"the batch names the unknown modality 'lidar'; .*\['s2', 'dem', 'cover'\]"),
        ({"s2": torch.rand(2, 3, 32, 32)}, None, r"'s2' is torch.float32 \[2, 3, 32, 32\], expected a tensor \[B, 2, H, W\]"),
        ({"dem": torch.rand(2, 32, 32)}, None, r"'dem' is torch.float32 \[2, 32, 32\], expected a tensor \[B, 1, H, W\]"),
        ({"dem": [[1.0]]}, None, "'dem' is list, expected a tensor"),
        ({"dem": torch.rand(2, 1, 32, 16)}, None, r"'dem' is \[2, 1, 32, 16\], expected \[2, 1, 32, 32\].*'s2'"),
        ({"dem": torch.rand(3, 1, 32, 32)}, None, r"'dem' is \[3, 1, 32, 32\], expected \[2, 1, 32, 32\]"),
        ({"dem": torch.rand(2, 1, 32, 32, device="meta")}, None, "'dem' is on meta, expected cpu like 's2'"),
        (dict.fromkeys(MODALITIES.names), None, "the batch has no sensor"),
        ({}, {"lidar": torch.ones(2)}, "valid names the unknown modality 'lidar'"),
        ({}, {"dem": torch.ones(2, 16, 32)}, r"valid\['dem'\] is \[2, 16, 32\], expected a tensor \[2\] or \[2, 32, 32\]"),
        ({}, {"dem": True}, r"valid\['dem'\] is bool"),
        ({}, [[True, True, True]] * 2, "valid is list, expected a tensor, or a mapping"),
        ({}, torch.ones(3, 2), r"valid is \[3, 2\], expected \[2, 3\] or \[2, 3, 32, 32\]"),
        ({}, {"dem": torch.ones(2, device="meta")}, r"valid\['dem'\] is on meta, expected cpu"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_named(sensors, change, valid, message):
    with pytest.raises(ValueError, match=message):
        assemble_sensors(sensors | change, MODALITIES, valid)


def test_the_backbone_names_what_it_cannot_take(sensors):
    model = build()
    with pytest.raises(ValueError, match="valid goes with a mapping of sensors"):
        model(torch.rand(2, 4, 32, 32), valid={"dem": torch.ones(2)})
    with pytest.raises(ValueError, match="the batch is list, expected a tensor, or a mapping"):
        model([torch.rand(4, 32, 32)])
    with pytest.raises(ValueError, match="the sensors are on meta, expected cpu like the model"):
        model({"s2": sensors["s2"].to("meta")})
    with pytest.raises(ValueError, match="image is 30 x 32 px, expected multiples of the patch size 8"):
        model({"s2": sensors["s2"][:, :, :30]})
