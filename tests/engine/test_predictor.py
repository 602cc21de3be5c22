"""Arrays in, what the model says of the same files out."""

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from imrsf_d2 import Predictor
from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.inference.sample_arrays import image_of_arrays
from imrsf_d2.modalities import Modality, ModalitySet
from tests.raster_files import write_raster_file


@pytest.fixture
def predictor(tiny_config, tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"model": build_model(tiny_config()).state_dict()}, path)
    return Predictor(tiny_config("MODEL.WEIGHTS", str(path)))


def test_arrays_are_predicted_as_files_are(predictor, tiny_config, tmp_path, rng):
    rgb = rng.integers(1, 255, (3, 40, 50)).astype(np.uint8)
    dsm = rng.normal(5, 2, (40, 50)).astype(np.float32)
    dsm[:9] = np.nan
    files = {"rgb": tmp_path / "rgb.tif", "dsm": tmp_path / "dsm.tif", "sar": None}
    write_raster_file(files["rgb"], rgb)
    write_raster_file(files["dsm"], dsm[None])
    sample = {"file_name": "tile", "image_id": 1, "height": 40, "width": 50, "modalities": files}
    with torch.no_grad():
        expected = predictor.model([build_mapper(tiny_config(), False)(sample)])[0]["instances"]
    found = predictor({"dsm": dsm, "rgb": rgb, "sar": None})["instances"]
    assert found.image_size == (40, 50) and len(found) > 0
    assert torch.equal(found.scores, expected.scores) and torch.equal(found.pred_masks, expected.pred_masks)
    other = predictor({"rgb": rgb})["instances"]
    assert not torch.equal(found.scores, other.scores)


@pytest.mark.parametrize(
    "sensors, message",
    [
        ({"lidar": np.zeros((8, 8))}, "the sample names the unknown modality 'lidar'.*'sar', 'rgb', 'dsm'"),
        ({"rgb": np.zeros((8, 8, 3))}, r"'rgb' is an array of shape \[8, 8, 3\], expected \[3, H, W\]: its bands first"),
        ({"dsm": np.zeros((2, 8, 8))}, r"'dsm' is an array .*expected \[1, H, W\] or \[H, W\]"),
        ({"dsm": np.zeros((8, 8)), "sar": np.ones((8, 9))}, "'sar' is 9 x 8 px, expected 8 x 8 px like 'dsm'"),
        ({"dsm": None}, "the sample has no sensor"),
    ],
)
def test_a_sample_that_cannot_be_meant_is_refused(predictor, sensors, message):
    with pytest.raises(ValueError, match=message):
        predictor(sensors)


def test_a_message_about_values_names_the_array_and_no_file():
    cover = ModalitySet([Modality("cover", classes=3)])
    with pytest.raises(ValueError, match=r"^the array of 'cover' holds 77 .*expected class indices from 0 to 2") as raised:
        image_of_arrays(cover, {"cover": np.full((8, 8), 77)})
    assert "vsimem" not in str(raised.value)


def test_weights_of_other_modalities_are_named(predictor, tiny_config):
    weights = predictor.cfg.MODEL.WEIGHTS
    other = [{"NAME": "rgb", "CHANNELS": 4}]
    with pytest.raises(ValueError, match="rgb|missing|shape"):
        Predictor(tiny_config("MODEL.WEIGHTS", weights, "MODEL.IMRSF.MODALITIES", str(other)))
