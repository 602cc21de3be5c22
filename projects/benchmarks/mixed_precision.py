"""bfloat16 on a GPU: the share of its matrix rate that is reached, and images per second compared with the dense mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from imrsf_d2.modeling import IncompleteMultimodalViT
from projects.benchmarks.cases import Case
from projects.benchmarks.compilation import compile_per_token
from projects.benchmarks.dense import DenseMaskViT
from projects.benchmarks.flops import count_flops
from projects.benchmarks.matrix_rate import matrix_products
from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import measure_together
from projects.benchmarks.train_step import make_step

__all__ = ["benchmark_gpu", "benchmark_mixed_precision"]

#: Target for the encoder's forward and backward pass on an H100, as a share of the measured bfloat16 matrix rate.
TARGET = 0.45


def benchmark_gpu(case: Case, repeats: int = 10) -> Iterator[Result]:
    """`benchmark_mixed_precision` with batches of 32 images; without a GPU, a result that says it was skipped."""
    if torch.cuda.is_available():
        yield from benchmark_mixed_precision(case.with_(device="cuda", batch_size=32), repeats)
    else:
        yield Result("GPU, bfloat16", notes=["Skipped: no CUDA device here."])


def benchmark_mixed_precision(case: Case, repeats: int) -> Iterator[Result]:
    """Measure with autocast to bfloat16 on the case's device."""
    yield _benchmark_rate(case, repeats)
    for size in case.sizes:
        yield _benchmark_images(case, size, repeats)


def _benchmark_rate(case: Case, repeats: int) -> Result:
    """Encoder forward and backward at the large size, uncompiled and with the norms and MLPs compiled."""
    size = case.sizes[-1]
    images = case.images(size)
    model = case.build().train()
    # The backward pass computes two products for each product of the forward pass.
    flops = 3 * count_flops(partial(model.encode, images))
    rows = (case.num_modalities + 1) * case.batch_size * case.num_patches(size)
    products, product_flops = matrix_products(case, rows, len(model.blocks), torch.bfloat16)
    works: dict[str, Callable[[], None]] = {
        "uncompiled": partial(_forward_backward, model, images),
        "norms and MLPs compiled": partial(_forward_backward, compile_per_token(case.build().train()), images),
    }
    result = Result(
        f"Encoder forward and backward, bfloat16, {size} x {size} px",
        notes=[f"{case}, {case.device}; {flops / 1e12:.2f} TFLOP."],
    )
    result.timings = measure_together(
        {**_those_that_run(works, result), "bare products": products}, repeats, warm_up=2, synchronize=case.synchronize
    )
    rates = {
        name: tuple(count / s / 1e12 for s in result.timings[name].seconds)
        for name, count in [(name, flops) for name in works if name in result.timings] + [("bare products", product_flops)]
    }
    for name in works:
        if name in result.timings:
            share = result.timings["bare products"].over(result.timings[name], flops / product_flops)
            result.lines.append(Line(f"{name}, share of the rate of bare products", share, TARGET, ">="))
    result.lines += [Line(name, rate, unit=" TFLOP/s") for name, rate in rates.items()]
    return result


def _benchmark_images(case: Case, size: int, repeats: int) -> Result:
    """Images per second of the backbone with feature maps, in training and inference, for both models."""
    images = case.images(size)
    works: dict[str, Callable[[], None]] = {}
    for name, model_class in (("ours", IncompleteMultimodalViT), ("dense mask", DenseMaskViT)):
        works[f"training, {name}"] = partial(make_step(case.build(model_class), torch.bfloat16), images)
        works[f"inference, {name}"] = partial(_infer, case.build(model_class), images)
    result = Result(
        f"Images per second, bfloat16, {size} x {size} px",
        notes=[
            f"Backbone with feature maps, complete input, {case}, {case.device}; training is forward, backward and AdamW."
        ],
    )
    result.timings = measure_together(_those_that_run(works, result), repeats, warm_up=2, synchronize=case.synchronize)
    result.lines = [
        Line(name, tuple(case.batch_size / s for s in timed.seconds), unit=" images/s")
        for name, timed in result.timings.items()
    ]
    if case.device == "cuda":
        result.lines += [
            Line(f"{name}, memory at its peak", (_added_memory(works[name]) / 2**30,), unit=" GiB")
            for name in result.timings
        ]
        result.notes.append("Memory is what a call adds at its peak to the weights, gradients and optimizer states.")
    return result


def _forward_backward(model: IncompleteMultimodalViT, images: Tensor) -> None:
    with torch.autocast(images.device.type, torch.bfloat16):
        output = model.encode(images, layers=model.out_layers)
    model.zero_grad()
    sum(layer.float().square().mean() for layer in output.layers).backward()


@torch.inference_mode()
def _infer(model: IncompleteMultimodalViT, images: Tensor) -> None:
    with torch.autocast(images.device.type, torch.bfloat16):
        model(images)


def _added_memory(work: Callable[[], None]) -> int:
    """Bytes of the GPU's memory that a call takes at its peak, over those that are taken before it."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() - before


def _those_that_run(works: dict[str, Callable[[], None]], result: Result) -> dict[str, Callable[[], None]]:
    """Try each once; leave out, with a note, what does not fit into memory or cannot be compiled."""
    running = {}
    for name, work in works.items():
        try:
            work()
            running[name] = work
        except RuntimeError as error:  # includes running out of memory and all errors of the compiler
            result.notes.append(f"Left out: {name} ({type(error).__name__}: {str(error)[:200]}).")
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    return running
