"""A training step of the backbone (forward, backward, optimizer) on complete input and on random subsets of sensors."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from projects.benchmarks.backbone import draw_subsets
from projects.benchmarks.cases import Case
from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import Measurement, measure_together

__all__ = ["benchmark_train_step", "make_step"]


def make_step(model: torch.nn.Module, precision: torch.dtype | None = None):
    """A function that does one training step on a batch of images, with the mean square of the feature maps as loss.

    Args:
        model: returns feature maps by name.
        precision: type for autocast; None computes in float32.
    """
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step(images: Tensor) -> None:
        with torch.autocast(images.device.type, precision, enabled=precision is not None):
            maps = model(images)
        loss = sum(feature.float().square().mean() for feature in maps.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def benchmark_train_step(case: Case, repeats: int = 3) -> list[Result]:
    """One repetition has as many batches as there are subsets, so that every subset occurs `batch_size` times."""
    size = case.sizes[0]
    step = make_step(case.build())
    number = len(case.modalities.subsets())
    drawn = draw_subsets(case, number * case.batch_size)
    complete = case.images(size)
    works = {}
    for i in range(number):
        batch = case.images(size, drawn[i * case.batch_size : (i + 1) * case.batch_size])
        works[f"random {i}"] = partial(step, batch)
        # A complete step next to each random one: both see the same load of the machine.
        works[f"complete {i}"] = partial(step, complete)
    timed = measure_together(works, repeats, synchronize=case.synchronize)
    steps = {
        kind: Measurement(
            tuple(sum(round_) / number for round_ in zip(*(timed[f"{kind} {i}"].seconds for i in range(number))))
        )
        for kind in ("complete", "random")
    }
    mean = sum(map(len, drawn)) / len(drawn)
    share = (mean + 1) / (case.num_modalities + 1)
    ratio = steps["random"].over(steps["complete"])
    lines = [
        Line("step with random subsets, time over complete", ratio, 0.75, unit="x"),
        Line("complete", tuple(case.batch_size / s for s in steps["complete"].seconds), unit=" images/s"),
        Line("random subsets", tuple(case.batch_size / s for s in steps["random"].seconds), unit=" images/s"),
    ]
    return [
        Result(
            f"Training step, {size} x {size} px",
            lines,
            steps,
            [
                f"Backbone with feature maps, forward, backward and AdamW, {case}, float32, {case.device}; every subset "
                f"equally often, {share:.2f} of the tokens of complete input."
            ],
        )
    ]
