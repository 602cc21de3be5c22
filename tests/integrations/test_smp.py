import re

import pytest
import torch
import torch.nn.functional as F

smp = pytest.importorskip(
    "segmentation_models_pytorch", reason="needs segmentation_models_pytorch, which is an extra: make test-extras"
)

from imrsf_d2 import IncompleteMultimodalViT, Modality  # noqa: E402
from imrsf_d2.integrations.smp import SensorEncoder, register_encoder  # noqa: E402
from tests.drop_in import BLOCKS, extra_of  # noqa: E402

MODALITIES = (Modality("s2", channels=4, mean=(0.1, 0.1, 0.1, 0.3)), Modality("dem", mean=(0.5,), nodata=-9999))
SIZES = {"embed_dim": 32, "blocks": 4, "num_heads": 2}
ALL_STRIDES = ["res1", "res2", "res3", "res4", "res5"]


@pytest.fixture(autouse=True)
def encoders():
    register_encoder("sensors", MODALITIES, **SIZES)
    register_encoder("sensors_from_stride_2", MODALITIES, out_features=ALL_STRIDES, **SIZES)


@pytest.fixture
def sensors():
    """The second sample lacks the elevation, which holds the labels of the first."""
    s2, dem = torch.rand(2, 4, 64, 64), torch.rand(2, 1, 64, 64)
    dem[1] = float("nan")
    return {"s2": s2, "dem": dem}, torch.stack([dem[0, 0] > 0.5, s2[1, 0] > 0.5]).long()


@pytest.mark.parametrize("encoder", ["sensors", "sensors_from_stride_2"])
@pytest.mark.parametrize("decoder", ["Unet", "UnetPlusPlus", "FPN", "UPerNet", "Linknet", "MAnet", "Segformer"])
def test_decoders_train_on_it_with_missing_sensors(decoder, encoder, sensors):
    model = getattr(smp, decoder)(encoder, encoder_weights=None, classes=2)
    batch, labels = sensors
    batches = [batch, batch | {"dem": None}]
    if model.requires_divisible_input_shape:
        batches = [model.encoder.vit.assemble(b) for b in batches]
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for step in range(24):
        loss = F.cross_entropy(model(batches[step % 2]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) < sum(losses[:2])
    still = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    # Some decoders leave out the finest map.
    assert not {name for name in still if name.startswith("encoder.") and ".pyramid.res1." not in name}


def test_features_are_those_of_the_backbone_at_their_strides(sensors):
    batch, _ = sensors
    encoder = SensorEncoder(MODALITIES, **SIZES).eval()
    vit = IncompleteMultimodalViT(modalities=MODALITIES, embed_dim=32, depth=4, num_heads=2).eval()
    vit.load_state_dict(encoder.vit.state_dict())
    with torch.no_grad():
        features, expected = encoder(batch), vit(batch)
    assert [list(f.shape) for f in features] == [[2, c, 64 >> k, 64 >> k] for k, c in enumerate([0, 0, 32, 32, 32, 32])]
    assert all(map(torch.equal, features[2:], expected.values())) and encoder.out_channels == [0, 0, 32, 32, 32, 32]
    assert (encoder.output_stride, encoder.feature_info.reduction()) == (32, [4, 8, 16, 32])
    short = SensorEncoder(MODALITIES, depth=3, **SIZES)
    assert short.out_channels == [0, 0, 32, 32] and short.output_stride == 8 and len(short(batch)) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: register_encoder("resnet34", MODALITIES), "smp has an encoder 'resnet34' already"),
        (lambda: smp.Unet("sensors", encoder_weights=None, in_channels=9), "in_channels is 9, expected none, or 5 or 7"),
        (lambda: smp.DeepLabV3("sensors", encoder_weights=None), "encoder_output_stride is 8, expected 32"),
        (lambda: smp.Unet("sensors_from_stride_2", encoder_weights=None, encoder_depth=4), "expected some of res0..res4"),
        (lambda: smp.Unet("sensors", encoder_weights=None)({"s3": torch.rand(1, 4, 64, 64)}), "unknown modality 's3'"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_example_of_the_documentation_runs():
    (example,) = (block for _, block in BLOCKS if extra_of(block) == "segmentation_models_pytorch")
    scope = {}
    exec(example, scope)
    assert scope["loss"].isfinite() and scope["logits"].shape == (2, 2, 96, 96)
    assert re.search(r"register_encoder\(\"sensors\"", example)
