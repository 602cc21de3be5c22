"""Work done in a thread ahead of who asks for it, a bounded number of items."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

__all__ = ["ahead"]

Item = TypeVar("Item")
#: How often a thread that waits for room looks whether it is still needed, s.
LOOK_S = 0.2


class _End:
    """What comes after the last item."""

    def __init__(self, error: BaseException | None):
        self.error = error


def ahead(items: Iterable[Item], number: int, name: str) -> Generator[Item, None, None]:
    """The same items in the same order, made in a thread while those before are being used.

    Args:
        items: iterated in the thread, and closed there if it is a generator, also when nobody asks for the rest.
        number: of items that may wait.
        name: of the thread.

    Raises:
        BaseException: what making an item has raised, after the items before it.
    """
    ready: queue.Queue[Item | _End] = queue.Queue(number)
    stop = threading.Event()

    def put(item: Item | _End) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=LOOK_S)
            except queue.Full:
                continue

    def make() -> None:
        error: BaseException | None = None
        iterator = iter(items)
        try:
            for item in iterator:
                put(item)
                if stop.is_set():
                    break
        except BaseException as raised:
            error = raised
        finally:
            if hasattr(iterator, "close"):
                iterator.close()
            put(_End(error))

    thread = threading.Thread(target=make, name=name, daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()
