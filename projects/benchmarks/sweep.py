"""All subsets of the sensors on the same images: shared streams compared with one pass per subset."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from imrsf_d2.modeling.tokens import keep_modalities
from projects.benchmarks.cases import Case
from projects.benchmarks.dense import DenseMaskViT
from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import measure_together

__all__ = ["benchmark_sweep"]

#: M -> time with shared streams, over separate passes that skip absent sensors and over the dense mask.
TARGETS = {3: (0.60, 0.40), 4: (0.48, 0.30)}


def benchmark_sweep(case: Case, repeats: int = 3) -> Iterator[Result]:
    """One result per number of modalities."""
    for number, targets in TARGETS.items():
        yield _benchmark_number(case.with_(num_modalities=number), targets, repeats)


@torch.inference_mode()
def _benchmark_number(case: Case, targets: tuple[float, float], repeats: int) -> Result:
    model, dense = case.build(), case.build(DenseMaskViT)
    size = case.sizes[0]
    image = case.images(size)
    subsets = case.modalities.subsets()
    restricted = [keep_modalities(image, case.modalities, subset) for subset in subsets]
    layers = model.out_layers
    timed = measure_together(
        {
            "shared streams": lambda: model.encode_subsets(image, subsets, layers),
            "separate passes": lambda: [model.encode(images, layers=layers) for images in restricted],
            "dense mask": lambda: [dense.encode(images, layers=layers) for images in restricted],
        },
        repeats,
        synchronize=case.synchronize,
    )
    shared = timed["shared streams"]
    lines = [
        Line(f"shared streams, time over {name}", shared.over(timed[name]), target, unit="x")
        for name, target in zip(("separate passes", "dense mask"), targets)
    ]
    return Result(
        f"Sweep over {len(subsets)} subsets of M = {case.num_modalities}, {size} x {size} px",
        lines,
        timed,
        [f"Encoder forward, {case}, float32, {case.device}."],
    )
