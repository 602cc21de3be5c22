import threading
import time

import pytest

from imrsf_d2.utils.ahead import ahead


def test_items_come_in_their_order_and_an_error_after_those_before_it():
    def items():
        yield from range(5)
        raise KeyError("sixth")

    found = []
    with pytest.raises(KeyError, match="sixth"):
        for item in ahead(items(), 2, "test"):
            found.append(item)
    assert found == list(range(5))


def test_items_are_made_before_they_are_asked_for_but_no_more_than_allowed():
    made = []
    items = ahead((made.append(i) or i for i in range(100)), 3, "test")
    next(items)
    deadline = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(made) == 5  # one taken, three that wait, one that waits for room
    items.close()


def test_whoever_stops_asking_stops_the_threads_and_closes_what_they_read():
    closed = []

    def items():
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    chain = ahead((2 * item for item in ahead(items(), 1, "first")), 1, "second")
    assert next(chain) == 0
    chain.close()
    deadline = time.monotonic() + 5
    while not closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert closed == ["first"]
    assert not {"first", "second"} & {thread.name for thread in threading.enumerate()}
