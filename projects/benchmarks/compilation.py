"""Whether torch.compile is worth it when the subset of sensors changes from batch to batch."""

from __future__ import annotations

from functools import partial

import torch
from torch._dynamo.utils import counters

from imrsf_d2.modeling import IncompleteMultimodalViT
from projects.benchmarks.backbone import draw_subsets
from projects.benchmarks.cases import Case
from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import measure_together

__all__ = ["benchmark_compilation", "compile_per_token"]


def compile_per_token(model: IncompleteMultimodalViT) -> IncompleteMultimodalViT:
    """Compile, in place, the norms and MLPs: they treat all tokens alike, whatever subsets these belong to.

    The shapes in attention depend on the subsets; it would be compiled again for every mixture of them.
    """
    for block in model.blocks:
        for part in (block.norm1, block.norm2, block.mlp):
            part.compile(dynamic=True)
    return model


@torch.inference_mode()
def benchmark_compilation(case: Case, repeats: int = 3) -> list[Result]:
    """Number of graphs compiled for all subsets and for mixed batches, and the time for a complete batch.

    For the whole encoder only the graphs are counted, with a small model, because each of them takes long to compile.
    """
    size = case.sizes[0]
    drawn = draw_subsets(case, 2 * case.batch_size)
    mixtures = [[subset] * case.batch_size for subset in case.modalities.subsets()]
    mixtures += [drawn[: case.batch_size], drawn[case.batch_size :]]
    result = Result(
        "torch.compile",
        notes=[
            f"{case}, {size} x {size} px, {case.device}; {len(mixtures)} batches: each subset, and two mixtures of them."
        ],
    )
    try:
        model, compiled = case.build(), compile_per_token(case.build())
        graphs = _count_graphs(compiled.encode, [case.images(size, subsets) for subsets in mixtures])
        small = case.with_(embed_dim=32, depth=2, num_heads=2)
        whole = torch.compile(small.build().encode)
        whole_graphs = _count_graphs(whole, [small.images(4 * case.patch_size, subsets) for subsets in mixtures])
    except Exception as error:  # the compiler raises anything: no C++ compiler, an unknown GPU, ...
        result.notes.append(f"Skipped: torch.compile does not work here ({type(error).__name__}: {str(error)[:200]}).")
        return [result]
    images = case.images(size)
    result.timings = measure_together(
        {"uncompiled": partial(model.encode, images), "norms and MLPs compiled": partial(compiled.encode, images)},
        repeats,
        synchronize=case.synchronize,
    )
    speed = result.timings["norms and MLPs compiled"].over(result.timings["uncompiled"])
    result.lines = [
        Line("norms and MLPs compiled: graphs", (float(graphs),)),
        Line("whole encoder compiled: graphs", (float(whole_graphs),)),
        Line("norms and MLPs compiled, complete input: time over uncompiled", speed, unit="x"),
    ]
    return [result]


def _count_graphs(encode, batches: list[torch.Tensor]) -> int:
    torch._dynamo.reset()
    counters.clear()
    for images in batches:
        encode(images)
    return counters["stats"]["unique_graphs"]
