"""Peak memory of inference on a large image, each variant in a fresh process.

On the CPU it is the increase of the process's peak resident set (as the operating system reports it, library buffers included)
over the resident set after loading model and image and passing a small image; on a GPU, the allocator's peak.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from imrsf_d2.modeling import IncompleteMultimodalViT
from imrsf_d2.utils.errors import InputError
from projects.benchmarks.cases import Case
from projects.benchmarks.dense import DenseMaskViT
from projects.benchmarks.results import Line, Result

__all__ = ["benchmark_memory", "measure_here"]

VARIANTS = {"structured": IncompleteMultimodalViT, "dense": DenseMaskViT}
TARGET = 0.35
STATUS = Path("/proc/self/status")


def benchmark_memory(case: Case, repeats: int = 1) -> list[Result]:
    """Complete input of one image; `repeats` processes per variant."""
    # Of all blocks, inference keeps only the four layers that become feature maps: four blocks have the same peak.
    case = case.with_(batch_size=1, depth=min(case.depth, 4))
    title = f"Memory of inference, {case.memory_size} x {case.memory_size} px"
    if case.device == "cpu" and not STATUS.exists():
        return [Result(title, notes=[f"Skipped: needs {STATUS}, which only Linux has."])]
    mib = {variant: tuple(_measure_in_new_process(variant, case) / 2**20 for _ in range(repeats)) for variant in VARIANTS}
    ratio = tuple(ours / theirs for ours, theirs in zip(mib["structured"], mib["dense"]))
    lines = [
        Line("peak of activations, ours over dense mask", ratio, TARGET, unit="x"),
        Line("ours", mib["structured"], unit=" MiB"),
        Line("dense mask", mib["dense"], unit=" MiB"),
    ]
    how = (
        "the allocator's peak"
        if case.device == "cuda"
        else "increase of the peak resident set, which includes what the libraries allocate themselves"
    )
    return [
        Result(
            title,
            lines,
            {},
            [
                f"Encoder forward, {case}, float32, {case.device}; a fresh process per measurement, {how}. More blocks "
                "need no more memory: inference keeps four layers of fusion tokens at any depth."
            ],
        )
    ]


def _measure_in_new_process(variant: str, case: Case) -> int:
    command = [sys.executable, "-W", "ignore", "-m", "projects.benchmarks.memory", variant, json.dumps(asdict(case))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(
            f"the process that measures the memory of {variant!r} ended with {done.returncode}: "
            f"{done.stderr.strip()[-2000:]}"
        )
    return int(done.stdout.split()[-1])


@torch.inference_mode()
def measure_here(variant: str, case: Case) -> int:
    """Peak memory in bytes that one pass over an image adds; only correct in a fresh process."""
    model = case.build(VARIANTS[variant])
    image = case.images(case.memory_size)
    model.encode(case.images(case.patch_size), layers=model.out_layers)
    if case.device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        model.encode(image, layers=model.out_layers)
        return torch.cuda.max_memory_allocated() - before
    before = _resident("VmRSS")
    model.encode(image, layers=model.out_layers)
    # The peak is since the start of the process; building the model needs much less than a large image.
    return max(0, _resident("VmHWM") - before)


def _resident(key: str) -> int:
    """Resident set of this process in bytes: now (VmRSS) or at its peak so far (VmHWM)."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise InputError(f"{STATUS} has no {key}.")


if __name__ == "__main__":
    sizes = json.loads(sys.argv[2])
    print(measure_here(sys.argv[1], Case(**sizes)))
