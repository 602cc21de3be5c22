"""The encoder's forward pass, compared with a dense mask and with bare matrix products, and with missing sensors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from imrsf_d2.modeling.linear import linear
from projects.benchmarks.cases import Case
from projects.benchmarks.dense import DenseMaskViT
from projects.benchmarks.flops import count_flops
from projects.benchmarks.matrix_rate import matrix_products
from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import measure_together

__all__ = ["benchmark_backbone", "draw_subsets"]

#: Time of the dense model over ours on complete input, at the small and the large size.
DENSE_TARGETS = (1.10, 1.25)


def draw_subsets(case: Case, number: int, seed: int = 0) -> list[tuple[str, ...]]:
    """Draw `number` non-empty subsets in random order; the counts of any two subsets differ by at most one."""
    subsets = case.modalities.subsets()
    rng = np.random.default_rng(seed)
    drawn: list[tuple[str, ...]] = []
    while len(drawn) < number:
        drawn += [subsets[i] for i in rng.permutation(len(subsets))]
    return drawn[:number]


def benchmark_backbone(case: Case, repeats: int = 5) -> Iterator[Result]:
    """One result per image size; both models have the same weights."""
    model, dense = case.build(), case.build(DenseMaskViT)
    for size, target in zip(case.sizes, DENSE_TARGETS, strict=True):
        yield _benchmark_size(case, model, dense, size, target, repeats)


@torch.inference_mode()
def _benchmark_size(case, model, dense, size: int, dense_target: float, repeats: int) -> Result:
    names, batch = case.modalities.names, case.batch_size
    complete, partial_images = case.images(size), case.images(size, lacking=0.25)
    one_sensor = case.images(size, [names[:1]] * batch)
    # Two batches contain every subset of M = 3 at least once; more would only take longer.
    drawn = draw_subsets(case, 2 * batch)
    random = [case.images(size, drawn[:batch]), case.images(size, drawn[batch:])]
    rows = (len(names) + 1) * batch * case.num_patches(size)
    products, product_flops = matrix_products(case, rows, len(model.blocks))
    own_products, _ = matrix_products(case, rows, len(model.blocks), product=linear)
    # The backbone needs the fusion tokens of these layers, so copying them is part of the timed work.
    encode = partial(model.encode, layers=model.out_layers)
    works = {
        "complete": lambda: encode(complete),
        "dense mask": lambda: dense.encode(complete, layers=model.out_layers),
        "bare products": products,
        "bare products, as our layers form them": own_products,
        "one sensor": lambda: encode(one_sensor),
        "random subsets": lambda: [encode(images) for images in random],
        "partial coverage": lambda: encode(partial_images),
        "complete, with feature maps": lambda: model(complete),
    }
    timed = measure_together(works, repeats, synchronize=case.synchronize)
    flops = count_flops(lambda: encode(complete))
    tokens = sum(len(subset) + 1 for subset in drawn) / ((len(names) + 1) * batch)  # of complete batches
    usable = model.read(partial_images).present.float().mean().item()
    partial_tokens = (usable * len(names) + 1) / (len(names) + 1)
    of_complete = {name: timed[name].over(timed["complete"]) for name in works}
    own = timed["bare products, as our layers form them"]
    lines = [
        Line("dense mask, time over ours", of_complete["dense mask"], dense_target, ">=", "x"),
        Line(
            "complete input, time over that of its FLOPs as bare products",
            timed["complete"].over(timed["bare products"], product_flops / flops),
            1.25,
            unit="x",
        ),
        Line(
            "the same, against products formed as our layers do (modeling/linear.py)",
            timed["complete"].over(own, product_flops / flops),
            unit="x",
        ),
        Line(f"one sensor ({names[0]}), time over complete", of_complete["one sensor"], 0.55, unit="x"),
        Line(
            "random subsets, time over complete and over the share of tokens",
            timed["random subsets"].over(timed["complete"], 1 / tokens),
            1.15,
            unit="x",
        ),
        Line(
            "partial coverage (a quarter of each sensor's patches missing), time over complete and over the share of tokens",
            timed["partial coverage"].over(timed["complete"], 1 / partial_tokens),
            1.15,
            unit="x",
        ),
        *(
            Line(name, tuple(product_flops / s / 1e9 for s in timed[name].seconds), unit=" GFLOP/s")
            for name in works
            if name.startswith("bare")
        ),
        Line("complete input", tuple(flops / s / 1e9 for s in timed["complete"].seconds), unit=" GFLOP/s"),
        Line(
            "complete input, with feature maps",
            tuple(batch / s for s in timed["complete, with feature maps"].seconds),
            unit=" images/s",
        ),
    ]
    return Result(
        f"Backbone, {size} x {size} px",
        lines,
        timed,
        [f"Encoder forward, {case}, float32, {case.device}; {flops / 1e9:.0f} GFLOP for complete input."],
    )
