"""A whole training step of a config on the CPU: what each part of it costs, forward and backward, and its largest operators.

All times are CPU time of this process, so that other work on the machine counts as little as possible.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from imrsf_d2.data.loaders import build_train_loader
from imrsf_d2.engine.loop import TrainingLoop
from imrsf_d2.engine.optimizer import build_optimizer
from imrsf_d2.engine.trainer import Trainer
from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import Measurement

__all__ = ["PARTS", "benchmark_step"]

#: Parts of a MaskFormer in the order of their forward passes: what the table calls them -> module, method that is called.
PARTS = {
    "backbone": ("backbone", "forward"),
    "pixel decoder": ("sem_seg_head.pixel_decoder", "forward_features"),
    "Transformer decoder": ("sem_seg_head.predictor", "forward"),
    "losses": ("criterion", "forward"),
}
MATCHER = "matcher (in the losses)"
#: Batches in turn, and steps before anything is timed.
NUM_BATCHES, WARM_UP = 4, 2
#: Largest operators that are named, and steps in which they are looked for.
NUM_OPERATORS, NUM_PROFILED = 5, 3


def benchmark_step(cfg: CfgNode, name: str, repeats: int = 5) -> Result:
    """Measure training steps of a MaskFormer by part, and its operators in further steps with PyTorch's profiler.

    Args:
        cfg: with MODEL.DEVICE cpu; SEED fixes weights, samples and the points of the losses.
        name: what the heading calls it.
        repeats: timed steps.
    """
    torch.manual_seed(cfg.SEED)
    model = Trainer.build_model(cfg).train()
    loader = _Loader(cfg)
    optimizer = build_optimizer(cfg, model)
    loop = TrainingLoop.from_config(cfg, model, loader.batches(), optimizer)
    clock = _Clock(model, optimizer)
    steps = []
    with EventStorage():
        for number in range(WARM_UP + repeats):
            torch.manual_seed(number)  # as each iteration of a training run draws from a seed of its own
            steps.append(clock.time(loop.run_step) | {"loader": loader.seconds})
        clock.remove()
        shares = [_operators(loop.run_step) for _ in range(NUM_PROFILED)]
    steps = steps[WARM_UP:]
    names = sorted(steps[0], key=lambda part: -statistics.median(step[part] for step in steps))
    largest = sorted(shares[0], key=lambda operator: -statistics.median(share.get(operator, 0.0) for share in shares))[
        :NUM_OPERATORS
    ]
    return Result(
        f"Training step, {name}",
        [
            Line(f"operator {each}, of the profiled time", tuple(share.get(each, 0.0) for share in shares), unit=" %")
            for each in largest
        ],
        {part: Measurement(tuple(step[part] for step in steps)) for part in names},
        [
            f"{cfg.SOLVER.IMS_PER_BATCH} samples of {cfg.INPUT.CROP.SIZE[0]} x {cfg.INPUT.CROP.SIZE[1]} px, float32, seed {cfg.SEED}; "
            f"CPU time of this process with {torch.get_num_threads()} thread(s) of {torch.backends.cpu.get_cpu_capability()}; "
            f"{repeats} steps, operators, in wall-clock time, from {NUM_PROFILED} others."
        ],
    )


class _Loader:
    """Batches in turn, and the CPU time that this process takes to make one, without loader processes."""

    def __init__(self, cfg: CfgNode):
        cfg = cfg.clone()
        cfg.defrost()
        cfg.DATALOADER.NUM_WORKERS = 0
        fresh = iter(build_train_loader(cfg))
        self._batches, durations = [], []
        for _ in range(NUM_BATCHES):
            start = time.process_time()
            self._batches.append(next(fresh))
            durations.append(time.process_time() - start)
        self._seconds = itertools.cycle(durations)

    def batches(self):
        """The same batches again and again."""
        return itertools.cycle(self._batches)

    @property
    def seconds(self) -> float:
        """What the next batch took to be made."""
        return next(self._seconds)


class _Clock:
    """Notes when the parts of a step begin and end.

    In the backward pass, the nodes that were made last come first, so a part's begins when the first gradient of what it
    returned is complete, and ends where that of the part before it begins.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer):
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._borders: dict[str, float] = {}
        self._undo: list[Callable[[], object]] = []
        for part, (module, method) in PARTS.items():
            self._watch(part, model.get_submodule(module), method)
        self._watch(MATCHER, model.get_submodule("criterion.matcher"), "forward", backward=False)
        self._watch("optimizer, with clipping", optimizer, "step", backward=False)

    def time(self, run_step: Callable[[], object]) -> dict[str, float]:
        """CPU seconds of each part in one step, `step` being the whole."""
        self._spent.clear()
        self._borders.clear()
        start = time.process_time()
        run_step()
        self._spent["step"] = time.process_time() - start
        # From the losses to the optimizer, in the order of the backward pass.
        borders = sorted(self._borders.items(), key=lambda border: border[1])
        for (part, begin), (_, end) in itertools.pairwise(borders):
            self._spent[f"{part}, backward"] += end - begin
        return dict(self._spent)

    def remove(self) -> None:
        """Leave the model as it was."""
        for undo in self._undo:
            undo()

    def _begin_backward(self, part: str) -> None:
        self._borders.setdefault(part, time.process_time())

    def _watch(self, part: str, owner, method: str, backward: bool = True) -> None:
        original = getattr(owner, method)

        def timed(*args, **kwargs):
            start = time.process_time()
            if not backward and part != MATCHER:
                self._borders[part] = start  # where the backward pass ends
            output = original(*args, **kwargs)
            self._spent[part] += (end := time.process_time()) - start
            if backward:
                if part == "losses":
                    self._borders[part] = end
                else:
                    for tensor in _tensors(output):
                        if tensor.requires_grad:
                            tensor.register_hook(lambda _: self._begin_backward(part))
            return output

        setattr(owner, method, timed)
        self._undo.append(lambda: delattr(owner, method))


def _tensors(output) -> list[Tensor]:
    """All tensors in nested mappings and sequences."""
    if isinstance(output, Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (list, tuple)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _operators(run_step: Callable[[], object]) -> dict[str, float]:
    """Share of the time in each of PyTorch's operators, in percent, without the operators that it calls. It is wall-clock time."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        run_step()
    events = profiler.key_averages()
    whole = sum(event.self_cpu_time_total for event in events)
    return {event.key: 100 * event.self_cpu_time_total / whole for event in events}
