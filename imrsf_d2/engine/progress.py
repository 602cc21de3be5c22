"""One readable line of training progress; every single loss term goes to TensorBoard and metrics.json."""

from __future__ import annotations

import datetime
import logging
import re

import torch
from detectron2.utils.events import EventWriter, get_event_storage

from imrsf_d2.utils.memory import peak_memory

__all__ = ["ProgressWriter"]

logger = logging.getLogger(__name__)

#: Mask2Former repeats its losses for every decoder layer, as loss_mask_0 .. loss_mask_8.
_LAYER = re.compile(r"_\d+$")


class ProgressWriter(EventWriter):
    """Logs iteration, total loss, the last decoder layer's losses, learning rate, speed, remaining time and peak memory.

    Args:
        max_iter: number of iterations of the whole training run.
        window: losses are shown as their median over this many iterations.
    """

    def __init__(self, max_iter: int, window: int = 20):
        self._max_iter = max_iter
        self._window = window

    def write(self) -> None:
        """Log one line about the iterations since the last one."""
        storage = get_event_storage()
        done = storage.iter + 1
        histories = storage.histories()
        if storage.iter >= self._max_iter or "total_loss" not in histories:
            return  # called once more after the last iteration

        def recent(name: str) -> float:
            return histories[name].median(self._window)

        parts = {
            name.removeprefix("loss_"): f"{recent(name):.3f}"
            for name in histories
            if name.startswith("loss_") and not _LAYER.search(name)
        }
        line = f"iteration {done:>{len(str(self._max_iter))}}/{self._max_iter}  loss {recent('total_loss'):.2f}"
        if parts:
            line += "  (" + "  ".join(f"{name} {value}" for name, value in parts.items()) + ")"
        if "lr" in histories:
            line += f"  lr {histories['lr'].latest():.2g}"
        if "time" in histories:
            # The first iterations of a run are not timed.
            remaining = histories["time"].avg(200) * (self._max_iter - done)
            storage.put_scalar("eta_seconds", remaining, smoothing_hint=False)
            line += f"  {histories['time'].avg(self._window):.2f} s/it"
            if "data_time" in histories:
                line += f" (waiting for data {histories['data_time'].avg(self._window):.2f})"
            line += f"  ETA {datetime.timedelta(seconds=round(remaining))}"
        logger.info("%s  memory %.1f GiB", line, _peak_memory() / 2**30)


def _peak_memory() -> int:
    """Most bytes that this process ever held: on its GPU, or of the machine's memory if the model does not use a GPU."""
    on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return on_gpu or peak_memory()
