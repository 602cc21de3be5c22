"""The exponential moving average of a training run's weights, which a run with SOLVER.EMA ends with."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

__all__ = ["EndWithAverage", "weight_average"]


def weight_average(cfg: CfgNode, model: nn.Module) -> AveragedModel | None:
    """What averages a model's weights over the iterations; None without SOLVER.EMA.

    Args:
        model: not wrapped for distributed training.
    """
    if not cfg.SOLVER.EMA:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(cfg.SOLVER.EMA))


class EndWithAverage(HookBase):
    """Exchanges a model's weights and their average after the last iteration, to be ahead of what saves and evaluates it.

    A run that is resumed with more iterations goes on from its own weights, which its last checkpoint has in the average's place.

    Args:
        model: not wrapped for distributed training.
        average: of `weight_average`.
    """

    def __init__(self, model: nn.Module, average: AveragedModel):
        self.model, self.average = model, average
        self._exchanged = False

    def before_train(self) -> None:
        if self._exchanged and self.trainer.start_iter < self.trainer.max_iter:
            self._exchange()

    def after_step(self) -> None:
        if self.trainer.iter + 1 == self.trainer.max_iter:
            self._exchange()

    def state_dict(self) -> dict:
        """Which of the two the model has, in the checkpoint."""
        return {"exchanged": self._exchanged}

    def load_state_dict(self, state_dict: dict) -> None:
        """See `state_dict`."""
        self._exchanged = state_dict["exchanged"]

    @torch.no_grad()
    def _exchange(self) -> None:
        for own, averaged in zip(self.model.parameters(), self.average.module.parameters(), strict=True):
            kept = own.clone()
            own.copy_(averaged)
            averaged.copy_(kept)
        self._exchanged = not self._exchanged
