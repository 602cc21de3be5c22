"""Exported graphs beside the model that they are made of: size, time per image, and the worst difference."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from detectron2.modeling import build_model

from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.export.differences import Graph, expected_outputs, worst_differences
from imrsf_d2.export.examples import Inputs, masked_cases
from imrsf_d2.export.files import OnnxGraph, ProgramGraph, export_program, write_onnx, write_program
from imrsf_d2.export.segmenter import FixedSegmenter
from imrsf_d2.modeling.fixed_backbone import FixedBackbone
from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import measure_together

__all__ = ["benchmark_exports"]

OPSET = 20
#: What the worst difference of an output should not exceed.
TARGET = 1e-4


def benchmark_exports(cfg, size: int, repeats: int = 10) -> Iterator[Result]:
    """A result for each part of the model and each kind of graph: for any sensors, for all of them, and for the first alone.

    Args:
        cfg: of the model; random weights if MODEL.WEIGHTS is empty.
        size: side of the image, px.
        repeats: timed rounds, in CPU time; one image on one thread, in turn with the model itself.
    """
    model = build_model(cfg).eval()
    if cfg.MODEL.WEIGHTS:
        Checkpointer(model, require_all=True).load(cfg.MODEL.WEIGHTS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        names = model.backbone.modalities.names
        for part in ("model", "backbone"):
            for subset in (None, names, names[:1]):
                yield _benchmark_graph(model, part, size, subset, repeats)
    finally:
        torch.set_num_threads(threads)


def _benchmark_graph(model: Any, part: str, size: int, subset, repeats: int) -> Result:
    shape = (size, size)
    graph = (
        FixedBackbone(model.backbone, shape, subset) if part == "backbone" else FixedSegmenter(model, shape, subset)
    ).eval()
    cases = masked_cases(graph.backbone if isinstance(graph, FixedSegmenter) else graph)
    expected = partial(expected_outputs, model, model.backbone, graph)
    name = "any sensors" if subset is None else "+".join(subset)
    result = Result(f"{part}, {name}", notes=[f"{size} x {size} px, one image, one thread, opset {OPSET}."])
    inputs = next(iter(cases.values()))
    program = export_program(graph, inputs)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("graph.pt2", "graph.onnx")]
        write_program(program, "{}", paths[0])
        write_onnx(program, inputs, list(graph(*inputs)), "{}", OPSET, paths[1])
        found: dict[str, Graph] = {"torch.export": ProgramGraph(paths[0]), "onnxruntime": OnnxGraph(paths[1], threads=1)}
        for (kind, computed), path in zip(found.items(), paths):
            result.lines.append(Line(f"{kind}: size", (os.path.getsize(path) / 2**20,), unit=" MiB"))
            for output, worst in worst_differences(computed, expected, cases.values()).items():
                relative = worst.absolute / worst.largest
                text = f"{kind}: worst difference of {output}, over {len(cases)} images (largest value {worst.largest:.1f})"
                result.lines.append(Line(f"{text}, in units of 1e-6", (worst.absolute * 1e6,), TARGET * 1e6))
                result.lines.append(Line(f"{kind}: the same over the largest value, in units of 1e-6", (relative * 1e6,)))
        for case in _timed(cases):
            result = _time(result, case, cases[case], expected, found, repeats)
    return result


def _timed(cases: dict[str, Inputs]) -> list[str]:
    """Of a graph for any sensors, the complete image and that of the first sensor alone; of another, its only image."""
    single = [case for case in cases if "+" not in case and " " not in case]
    return list(dict.fromkeys([next(iter(cases)), *single[:1]]))


def _time(result: Result, case: str, inputs: Inputs, expected, found, repeats: int) -> Result:
    works = {kind: partial(computed, inputs) for kind, computed in {"model": expected, **found}.items()}
    timings = measure_together(works, repeats, clock=time.process_time)
    for kind in found:
        ratio = timings[kind].over(timings["model"])
        result.lines.append(Line(f"{kind}, {case}: time over the model's", ratio, unit="x"))
    result.timings |= {f"{kind}, {case}": timing for kind, timing in timings.items()}
    return result
