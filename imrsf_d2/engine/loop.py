"""One iteration: forward and backward of each micro-batch, in the config's precision, then a step of the optimizer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from imrsf_d2.data.views import batch_of_views
from imrsf_d2.utils import precision
from imrsf_d2.utils.errors import InputError

__all__ = ["TrainingLoop", "micro_batches"]


def micro_batches(samples: Sequence, count: int) -> list[Sequence]:
    """Split a batch into `count` micro-batches of equal size, in order.

    Raises:
        ValueError: if it does not divide evenly.
    """
    size, rest = divmod(len(samples), count)
    if rest or not size:
        raise InputError(
            f"a process's batch of {len(samples)} samples does not divide into SOLVER.ACCUMULATE = "
            f"{count} micro-batches of equal size; SOLVER.IMS_PER_BATCH must be a multiple of ACCUMULATE x "
            "processes."
        )
    return [samples[start : start + size] for start in range(0, len(samples), size)]


class TrainingLoop(SimpleTrainer):
    """Detectron2's loop with gradient accumulation, and mixed precision on any device.

    The loader's batch is the effective one: whatever `accumulate` is, an iteration takes the same samples, so a
    schedule, a learning rate and a point to resume from keep their meaning. Gradients are those of the mean of the
    micro-batches' losses.

    Args:
        model, data_loader, optimizer: as in Detectron2.
        accumulate: micro-batches per step.
        autocast: context of the forward passes; None computes in the parameters' type.
        scaler: keeps fp16 gradients from vanishing; None if there is no need.
        average: of the weights, updated after each step; None for none.
        expand: makes a micro-batch of views of one of samples; None takes the samples.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader,
        optimizer: torch.optim.Optimizer,
        *,
        accumulate: int = 1,
        autocast: torch.autocast | None = None,
        scaler: torch.amp.GradScaler | None = None,
        average: AveragedModel | None = None,
        expand: Callable[[Sequence], Sequence] | None = None,
    ):
        super().__init__(model, data_loader, optimizer)
        self.accumulate = accumulate
        self.autocast = autocast or contextlib.nullcontext()
        self.scaler = scaler
        self.average = average
        self.expand = expand

    @classmethod
    def from_config(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        data_loader,
        optimizer: torch.optim.Optimizer,
        average: AveragedModel | None = None,
    ) -> TrainingLoop:
        """The loop that a config asks for: its micro-batches, its precision and its views."""
        return cls(
            model,
            data_loader,
            optimizer,
            accumulate=cfg.SOLVER.ACCUMULATE,
            autocast=precision.autocast(cfg),
            scaler=precision.grad_scaler(cfg),
            average=average,
            expand=batch_of_views(cfg),
        )

    def run_step(self) -> None:
        """Take a batch, accumulate its micro-batches' gradients, and step.

        Raises:
            ValueError: if the batch does not divide into the micro-batches.
        """
        start = time.perf_counter()
        batches = micro_batches(next(self._data_loader_iter), self.accumulate)
        data_time = time.perf_counter() - start

        self.optimizer.zero_grad()
        totals: dict[str, torch.Tensor] = {}
        for batch, synchronized in zip(batches, self._synchronized()):
            with synchronized:
                with self.autocast:
                    losses = self.model(batch if self.expand is None else self.expand(batch))
                if isinstance(losses, torch.Tensor):
                    losses = {"total_loss": losses}
                losses = {name: loss / self.accumulate for name, loss in losses.items()}
                total = sum(losses.values())
                (total if self.scaler is None else self.scaler.scale(total)).backward()
            for name, loss in losses.items():
                totals[name] = totals.get(name, 0.0) + loss.detach()
        self.after_backward()
        self._write_metrics(totals, data_time)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if self.average is not None:
            wrapped = isinstance(self.model, DistributedDataParallel)
            self.average.update_parameters(self.model.module if wrapped else self.model)

    def _synchronized(self) -> Iterator[contextlib.AbstractContextManager]:
        """A context for each micro-batch: processes exchange gradients once, with the last one."""
        for number in range(1, self.accumulate + 1):
            waits = number < self.accumulate and isinstance(self.model, DistributedDataParallel)
            yield self.model.no_sync() if waits else contextlib.nullcontext()

    def state_dict(self) -> dict:
        """With the scaler's state and the average, so that these resume exactly too."""
        state = super().state_dict()
        if self.scaler is not None:
            state["grad_scaler"] = self.scaler.state_dict()
        if self.average is not None:
            state["average"] = self.average.state_dict()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Load a state, also of a training run in another precision."""
        super().load_state_dict(state_dict)
        if self.scaler is not None and "grad_scaler" in state_dict:
            self.scaler.load_state_dict(state_dict["grad_scaler"])
        if self.average is not None and "average" in state_dict:
            self.average.load_state_dict(state_dict["average"])
