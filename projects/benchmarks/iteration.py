"""A whole training iteration of a config (model, losses, optimizer), and the time that each part of it takes."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from imrsf_d2.data.loaders import build_train_loader
from imrsf_d2.engine.loop import TrainingLoop
from imrsf_d2.engine.optimizer import build_optimizer
from imrsf_d2.engine.trainer import Trainer
from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import Measurement, measure

__all__ = ["PARTS", "benchmark_iteration"]

#: Parts of a MaskFormer: what the table calls them -> their names as modules. The matcher is called by the losses.
PARTS = {
    "backbone": "backbone",
    "pixel decoder and Transformer decoder": "sem_seg_head",
    "losses": "criterion",
    "the matcher of the losses": "criterion.matcher",
}
#: Batches in turn, and iterations before anything is timed: the first with each mixture of subsets take longer.
NUM_BATCHES, WARM_UP = 8, 8


def benchmark_iteration(cfg: CfgNode, repeats: int = 20) -> Result:
    """Measure iterations of a MaskFormer's training run on batches that are in memory already.

    Args:
        cfg: with the device and the precision to measure.
        repeats: timed iterations; as many again are timed part by part.
    """
    on_gpu = torch.device(cfg.MODEL.DEVICE).type == "cuda"
    synchronize = torch.cuda.synchronize if on_gpu else (lambda: None)
    model = Trainer.build_model(cfg).train()
    batches = list(itertools.islice(iter(build_train_loader(cfg)), NUM_BATCHES))
    optimizer = build_optimizer(cfg, model)
    loop = TrainingLoop.from_config(cfg, model, itertools.cycle(batches), optimizer)
    with EventStorage():
        whole = measure(loop.run_step, repeats, warm_up=WARM_UP, synchronize=synchronize)
        peak = torch.cuda.max_memory_allocated() if on_gpu else None
        parts = _measure_parts(model, optimizer, loop, repeats, synchronize)
    precision = cfg.SOLVER.AMP.PRECISION if cfg.SOLVER.AMP.ENABLED else "float32"
    lines = [Line("images", tuple(cfg.SOLVER.IMS_PER_BATCH / s for s in whole.seconds), unit=" images/s")]
    if peak is not None:
        lines.append(Line("memory at its peak", (peak / 2**30,), unit=" GiB"))
    return Result(
        "Training iteration",
        lines,
        {"iteration": whole, **parts},
        [
            f"{cfg.SOLVER.IMS_PER_BATCH} samples of {cfg.INPUT.CROP.SIZE[0]} x {cfg.INPUT.CROP.SIZE[1]} px in memory, "
            f"{precision}, {cfg.MODEL.DEVICE}. The parts are of further iterations, in which the device is waited for at "
            "the borders of each part."
        ],
    )


def _measure_parts(model, optimizer, loop: TrainingLoop, repeats: int, synchronize) -> dict[str, Measurement]:
    """Time the parts of iterations, with the device waited for before and after each of them."""
    started: dict[str, float] = {}
    spent: dict[str, float] = defaultdict(float)

    def start(name):
        synchronize()
        started[name] = time.perf_counter()

    def stop(name):
        synchronize()
        spent[name] += time.perf_counter() - started[name]

    modules = {"forward": model, **{what: model.get_submodule(name) for what, name in PARTS.items()}}
    hooks = [optimizer.register_step_pre_hook(lambda *_: start("optimizer"))]
    hooks.append(optimizer.register_step_post_hook(lambda *_: stop("optimizer")))
    for what, module in modules.items():
        hooks.append(module.register_forward_pre_hook(lambda *_, what=what: start(what)))
        hooks.append(module.register_forward_hook(lambda *_, what=what: stop(what)))
    rounds = []
    try:
        for _ in range(repeats):
            spent.clear()
            start("whole")
            loop.run_step()
            stop("whole")
            rest = spent.pop("whole") - spent["forward"] - spent["optimizer"]
            rounds.append({**spent, "backward, and all the rest": rest})
    finally:
        for hook in hooks:
            hook.remove()
    return {what: Measurement(tuple(each[what] for each in rounds)) for what in rounds[0]}
