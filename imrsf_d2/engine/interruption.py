"""Ctrl-C and SIGTERM in a training run: it stops after the iteration, with a checkpoint to continue from."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from detectron2.engine import HookBase
from detectron2.utils import comm

from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.utils.errors import Interrupted

__all__ = ["CHECKPOINT", "Interruption", "say_at_once", "watch_signals"]

logger = logging.getLogger(__name__)

#: One name, whatever the iteration: a queue that interrupts a training run every hour does not fill the disk.
CHECKPOINT = "model_interrupted"
#: Signals within this many seconds count as one: a terminal, a launcher and a queue may each send one.
_SAME_S = 1.0


@contextlib.contextmanager
def watch_signals(first: Callable[[int], None], again: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Call `first` with the number of the first SIGINT or SIGTERM; a later Ctrl-C calls `again` and ends at once.

    A signal that this process was started to ignore stays ignored. Outside the main thread, nothing is watched.
    """
    since = None

    def receive(number: int, frame) -> None:
        nonlocal since
        now = time.monotonic()
        if since is None:
            since = now
            first(number)
        elif number == signal.SIGINT and now - since > _SAME_S:
            again()
            raise KeyboardInterrupt

    before = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:
                    before[number] = signal.signal(number, receive)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_at_once(line: str) -> None:
    """Write to the terminal from a signal's handler, which may have come in the middle of a `print`."""
    os.write(2, f"\n{line}\n".encode())


class Interruption(HookBase):
    """Ends a training run after the iteration in which one of its processes gets a signal.

    All processes end after the same iteration, and the first one writes a checkpoint of it unless there is one. A signal
    stops an evaluation at once; this hook must come before the evaluation's.

    Args:
        checkpointer: of the trainer.
        go_on: how to continue, e.g. "the same command with --resume goes on from here".
    """

    def __init__(self, checkpointer: Checkpointer, go_on: str):
        self.stopping = False  # True once the run has begun to end
        self._checkpointer, self._go_on = checkpointer, go_on
        self._received: int | None = None
        self._at_once = True  # no iteration is under way
        self._finished: int | None = None
        self._group: Any = None  # of processes that communicate over the CPU

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Handle signals within the block, which is the whole training run."""
        with watch_signals(self._receive):
            yield

    @contextlib.contextmanager
    def ending_at_once(self) -> Iterator[None]:
        """Let a signal stop the block at once; for work between two iterations."""
        self._at_once = True
        try:
            if self._received is not None:  # since the processes last checked
                self._stop(self._received)
            yield
        finally:
            self._at_once = False

    def before_train(self) -> None:
        """Make a group that communicates over the CPU, where gradients go over NCCL, which would make the GPU wait."""
        if comm.get_world_size() > 1 and dist.get_backend() != "gloo":
            self._group = dist.new_group(backend="gloo")

    def before_step(self) -> None:
        """From here to the end of the iteration, a signal waits."""
        self._at_once = False

    def after_step(self) -> None:
        """Stop if any process has received a signal.

        Raises:
            Interrupted: in all processes.
        """
        self._finished = self.trainer.iter + 1
        told = self._received or 0
        if comm.get_world_size() > 1:
            flag = torch.tensor([told])
            dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group)
            told = int(flag)
        if told:
            self._stop(self._received or told)

    def after_train(self) -> None:
        """Write a checkpoint if the run was interrupted and has none of this iteration."""
        if self.stopping and self._finished is not None and self._received is not None:
            if self._checkpointer.saved_iteration != self._finished - 1:
                self._checkpointer.save(CHECKPOINT, iteration=self._finished - 1)
            logger.debug("%s: %s", signal.Signals(self._received).name, self._message())

    def _receive(self, number: int) -> None:
        self._received = number
        if self._at_once:
            self._stop(number)
        if comm.is_main_process() and multiprocessing.parent_process() is None:  # else that one has said it
            say_at_once(
                f"{signal.Signals(number).name}: training stops after this iteration and writes a checkpoint; Ctrl-C "
                "again stops it at once, without one."
            )

    def _stop(self, number: int) -> NoReturn:
        self._received, self.stopping = number, True
        raise Interrupted(number, self._message())

    def _message(self) -> str:
        done = self.trainer.start_iter if self._finished is None else self._finished
        return f"interrupted at iteration {done}; {self._go_on}." if done else "interrupted before the first iteration."
