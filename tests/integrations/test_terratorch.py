import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("terratorch", reason="needs TerraTorch, which is an extra: make test-extras")

from terratorch.models import EncoderDecoderFactory  # noqa: E402

import imrsf_d2.integrations.terratorch  # noqa: E402, F401
from tests.drop_in import BLOCKS, extra_of  # noqa: E402

BACKBONE = {"modalities": [{"NAME": "s2", "CHANNELS": 4, "MEAN": [0.1, 0.1, 0.1, 0.3]}, {"NAME": "dem", "MEAN": [0.5]}]}
BACKBONE |= {"embed_dim": 32, "depth": 4, "num_heads": 2}
DECODERS = {
    "UperNetDecoder": {"decoder_channels": 32},
    "UNetDecoder": {"decoder_channels": [32, 32, 16, 16]},
    "FCNDecoder": {"decoder_channels": 32},
    "smp_FPN": {},
}


def build(decoder="FCNDecoder"):
    return EncoderDecoderFactory().build_model(
        "segmentation",
        backbone="imrsf_vit",
        backbone_kwargs=dict(BACKBONE),
        decoder=decoder,
        num_classes=2,
        **DECODERS[decoder],
    )


@pytest.fixture
def sensors():
    """The second sample lacks the elevation, which holds the labels of the first."""
    s2, dem = torch.rand(2, 4, 70, 64), torch.rand(2, 1, 70, 64)
    dem[1] = float("nan")
    return {"s2": s2, "dem": dem}, torch.stack([dem[0, 0] > 0.5, s2[1, 0] > 0.5]).long()


@pytest.mark.parametrize("decoder", DECODERS)
def test_decoders_train_on_it_with_missing_sensors(decoder, sensors):
    model = build(decoder)
    batch, labels = sensors
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for step in range(24):
        output = model(batch if step % 2 else batch | {"dem": None}, filename=["a", "b"]).output
        loss = F.cross_entropy(output, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert output.shape == (2, 2, 70, 64) and sum(losses[-2:]) < sum(losses[:2])
    still = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    assert not still or (decoder == "FCNDecoder" and all(".pyramid.res" in name for name in still))  # takes the last map


def test_validity_of_a_batch_reaches_the_backbone(sensors):
    model, (batch, _) = build().eval(), sensors
    with torch.no_grad():
        expected = model(batch).output
        filled = {"s2": batch["s2"], "dem": batch["dem"].nan_to_num(7.0)}
        assert torch.equal(model(filled, valid={"dem": torch.tensor([1, 0])}).output, expected)
        assert not torch.equal(model(filled).output, expected)


def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = (block for _, block in BLOCKS if extra_of(block) == "terratorch")
    scope = {}
    exec(example, scope)
    assert scope["trainer"].global_step == 2 and scope["trainer"].callback_metrics["train/loss"].isfinite()
