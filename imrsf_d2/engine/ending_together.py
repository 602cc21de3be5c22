"""Machines of a run end together: the error of one of them ends the processes of the others, wherever these are."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Iterator

from torch.distributed import Store

from imrsf_d2.utils.errors import InputError, Interrupted

__all__ = ["ending_together"]

#: How often a machine looks whether another one has ended.
_LOOK_S = 1.0
#: Processes that have met learn by their connections that one of them is gone, and end by themselves. Those that have not are
#: killed after this time: torch would let them wait for half an hour.
_GRACE_S = 30.0
_ENDED, _IN_ORDER = "imrsf/ended", "in order"


@contextlib.contextmanager
def ending_together(store: Store, machine: int) -> Iterator[None]:
    """Within the context, this machine's processes work; an error that leaves it ends those of the other machines.

    Args:
        store: where all machines have met; the first one keeps it.
        machine: the number of this one.

    Raises:
        InputError: if the processes here were killed because another machine had ended.
    """
    watch = _Watch(store)
    try:
        yield
    except Interrupted:  # all machines agree to stop, and may still write a checkpoint
        watch.stop()
        _say(store, machine, _IN_ORDER)
        raise
    except Exception as error:
        watch.stop()
        if watch.ended:
            raise InputError(
                f"{watch.ended} of this run has ended, and the processes here were stopped: its output says why. Training goes on "
                "from its last checkpoint with --resume."
            ) from error
        _say(store, machine, f"machine {machine}")
        raise
    watch.stop()
    _say(store, machine, _IN_ORDER)


def _say(store: Store, machine: int, how: str) -> None:
    """Tell the others how this machine ended, if that ends them; the first one's end always does, and that of its store."""
    if machine and how == _IN_ORDER:
        return
    with contextlib.suppress(RuntimeError):  # the store has ended before
        store.set(_ENDED, how)
    if not machine:
        time.sleep(2 * _LOOK_S)


class _Watch:
    """Kills the processes of this machine some time after another machine has ended with an error.

    Attributes:
        ended: the machine because of which it did; empty if it did not.
    """

    def __init__(self, store: Store):
        self.ended = ""
        self._store = store
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            try:
                if not self._store.check([_ENDED]):
                    continue
                who = self._store.get(_ENDED).decode()
            except RuntimeError:
                who = "machine 0"
            if who != _IN_ORDER and not self._stopped.wait(_GRACE_S):
                self.ended = who
                for process in multiprocessing.active_children():
                    process.kill()
            return
