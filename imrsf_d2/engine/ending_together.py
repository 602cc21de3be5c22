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
#: The first machine, which keeps the store, waits for at most so long until the others know how it ended.
_GOODBYE_S = 10.0
_ENDED, _IN_ORDER, _KNOWN = "imrsf/ended", "in order", "imrsf/known"


@contextlib.contextmanager
def ending_together(store: Store, machine: int, num_machines: int) -> Iterator[None]:
    """Within the context, this machine's processes work; an error that leaves it ends those of the other machines.

    Args:
        store: where all machines have met; the first one keeps it.
        machine, num_machines: the number of this one, and how many there are.

    Raises:
        InputError: if the processes here were killed because another machine had ended.
    """
    watch = _Watch(store)
    try:
        yield
    except Interrupted:  # all machines agree to stop, and may still write a checkpoint
        watch.stop()
        _leave(store, machine, num_machines, _IN_ORDER, watch.told)
        raise
    except Exception as error:
        watch.stop()
        if watch.ended:
            raise InputError(
                f"{watch.ended} of this run has ended, and the processes here were stopped: its output says why. Training goes on "
                "from its last checkpoint with --resume."
            ) from error
        _leave(store, machine, num_machines, f"machine {machine}", watch.told)
        raise
    watch.stop()
    _leave(store, machine, num_machines, _IN_ORDER, watch.told)


def _leave(store: Store, machine: int, num_machines: int, how: str, told: bool) -> None:
    """Tell the others how this machine ended, if that ends them. The first one takes the store along, so its end always matters, and it
    waits until they know how it was."""
    if machine and told:  # so are the others, and the store may have ended
        return
    with contextlib.suppress(RuntimeError):  # the store has ended before
        if how != _IN_ORDER or not machine:
            store.set(_ENDED, how)
        if machine:
            store.add(_KNOWN, 1)
            return
        deadline = time.monotonic() + _GOODBYE_S
        while store.add(_KNOWN, 0) < num_machines - 1 and time.monotonic() < deadline:
            time.sleep(0.05)


class _Watch:
    """Kills the processes of this machine some time after another machine has ended with an error.

    Attributes:
        ended: the machine because of which it did; empty if it did not.
        told: it has learned how another machine ended, and said so.
    """

    def __init__(self, store: Store):
        self.ended, self.told = "", False
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
                self._store.add(_KNOWN, 1)
                self.told = True
            except RuntimeError:
                who = "machine 0"
            if who != _IN_ORDER and not self._stopped.wait(_GRACE_S):
                self.ended = who
                for process in multiprocessing.active_children():
                    process.kill()
            return
