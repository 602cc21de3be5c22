"""Gradient accumulation and mixed precision, on models small enough to know the answer."""

import itertools

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from imrsf_d2.engine.loop import TrainingLoop, micro_batches


class Mean(nn.Module):
    """A linear model whose losses are means over equal samples, so that micro-batches must add up exactly."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.sizes = []

    def forward(self, samples):
        self.sizes.append(len(samples))
        output = self.layer(torch.stack(samples))
        return {"loss_a": output.square().mean(), "loss_b": output.exp().mean()}


def train(iterations=3, **options):
    """Parameters, last losses and batch sizes after some steps on the same samples."""
    torch.manual_seed(0)
    model = Mean()
    batches = torch.randn(8, 6, 3, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loop = TrainingLoop(model, [list(batch) for batch in batches], optimizer, **options)
    with EventStorage() as storage:
        for loop.iter in range(iterations):
            storage.iter = loop.iter
            loop.run_step()
    losses = {name: storage.history(name).latest() for name in ("loss_a", "loss_b", "total_loss")}
    return list(model.parameters()), losses, model.sizes


@pytest.mark.parametrize("count", [2, 3, 6])
def test_micro_batches_equal_one_batch(count):
    expected, expected_losses, sizes = train()
    got, losses, micro_sizes = train(accumulate=count)
    assert sizes == [6] * 3 and micro_sizes == [6 // count] * 3 * count
    for a, b in zip(got, expected):
        assert torch.allclose(a, b, atol=1e-6)
    assert losses == pytest.approx(expected_losses, rel=1e-5)


def test_micro_batches_keep_the_order():
    assert micro_batches([1, 2, 3, 4, 5, 6], 3) == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("samples, count", [(6, 4), (2, 3)])
def test_a_batch_that_does_not_divide_is_named(samples, count):
    message = f"batch of {samples} samples does not divide into SOLVER.ACCUMULATE = {count}"
    with pytest.raises(ValueError, match=message):
        micro_batches(list(range(samples)), count)


def test_bf16_is_close_and_leaves_float32_parameters():
    expected, expected_losses, _ = train()
    got, losses, _ = train(autocast=torch.autocast("cpu", dtype=torch.bfloat16))
    for a, b in zip(got, expected):
        assert a.dtype == torch.float32 and not torch.equal(a, b) and torch.allclose(a, b, atol=0.02)
    assert losses == pytest.approx(expected_losses, rel=0.03)


class Overflowing(nn.Module):
    """A loss whose gradient is 1, and infinite wherever a sample says so."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, samples):
        scale = torch.tensor(float(samples[0]))
        self.weight.register_hook(lambda gradient: gradient * scale)
        return {"loss": self.weight.sum()}


def overflowing_loop(samples):
    model = Overflowing()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    loop = TrainingLoop(
        model,
        itertools.cycle([[sample] for sample in samples]),
        optimizer,
        scaler=torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2),
    )
    return model, loop


def test_the_scaler_skips_a_step_that_overflows_and_remembers_its_scale():
    model, loop = overflowing_loop([1.0, float("inf"), 1.0])
    weights, scales = [], []
    with EventStorage():
        for _ in range(3):
            loop.run_step()
            model.weight._backward_hooks.clear()
            weights.append(model.weight.item())
            scales.append(loop.scaler.get_scale())
    assert weights == [-1.0, -1.0, -2.0] and scales == [8.0, 4.0, 4.0]

    _, resumed = overflowing_loop([1.0])
    resumed.load_state_dict(loop.state_dict())
    assert resumed.scaler.get_scale() == 4.0 and resumed.scaler._get_growth_tracker() == 1


def test_a_checkpoint_of_another_precision_is_taken():
    _, loop = overflowing_loop([1.0])
    plain = TrainingLoop(Mean(), [], torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0))
    loop.load_state_dict(plain.state_dict())
    assert loop.scaler.get_scale() == 8.0
    plain.load_state_dict(loop.state_dict())
