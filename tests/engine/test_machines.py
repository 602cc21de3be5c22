"""Where the machines of a run meet, and what each of them says if one of them does not come, or does not belong there.

Machines are threads here; test_two_machines.py has processes.
"""

import argparse
import multiprocessing
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from torch.distributed import rendezvous

from imrsf_d2.engine import ending_together, machines
from imrsf_d2.engine.machines import all_machines, check_machines
from imrsf_d2.utils.errors import InputError, Interrupted


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def machine(rank, port, num=2, timeout=60.0):
    place = {"num_machines": num, "machine_rank": rank, "dist_url": f"tcp://127.0.0.1:{port}", "machine_timeout": timeout}
    return argparse.Namespace(**place)


def at_once(*calls):
    """What each call returns or raises, all of them running at the same time."""
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.exception() or future.result() for future in futures]


def come(args, processes=1):
    with all_machines(args, processes):
        pass


def test_where_all_have_come_the_processes_meet_whatever_the_port_is_used_for():
    port = free_port()

    def exchange(rank):
        with all_machines(machine(rank, port), 1) as url:
            [(store, *place)] = rendezvous(url, rank, 2, timeout=timedelta(seconds=60))
            assert place == [rank, 2]
            store.set(f"from {rank}", f"hello of {rank}")
            said = store.get(f"from {1 - rank}").decode()  # waits for it
            store.add("left", 1)
            while rank == 0 and store.add("left", 0) < 2:  # the store ends with the first machine's command
                pass
            return said

    assert at_once(lambda: exchange(1), lambda: exchange(0)) == ["hello of 0", "hello of 1"]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(ending_together, "_LOOK_S", 0.1)
    monkeypatch.setattr(ending_together, "_GRACE_S", 0.2)


def sleeper():
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()
    return process


@pytest.mark.parametrize("fails", [0, 1])
def test_the_error_of_one_machine_ends_the_processes_of_the_other_that_have_not_met(fails, quick):
    port = free_port()

    def fail():
        with all_machines(machine(fails, port), 1):
            raise ZeroDivisionError

    def wait():
        with all_machines(machine(1 - fails, port), 1):
            process = sleeper()
            process.join()
            raise ChildProcessError(process.exitcode)

    failed, waited = at_once(fail, wait)
    assert isinstance(failed, ZeroDivisionError)
    assert isinstance(waited, InputError) and str(waited).startswith(f"machine {fails} of this run has ended")
    assert waited.__cause__.args == (-signal.SIGKILL,)


@pytest.mark.parametrize("how", [None, Interrupted(signal.SIGTERM)], ids=["done", "interrupted"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_machine_that_ends_in_order_ends_no_other(first, how, quick):
    port = free_port()
    left = threading.Event()

    def end():
        with all_machines(machine(first, port), 1):
            if how:
                left.set()
                raise how
        left.set()

    def go_on():
        with all_machines(machine(1 - first, port), 1):
            process = sleeper()
            left.wait()
            process.join(1.5)
            assert process.is_alive()
            process.kill()
            return "done"

    assert at_once(end, go_on) == [how, "done"]


def test_the_first_machine_ends_when_the_others_know_and_not_before(monkeypatch):
    """They look much more rarely than it takes to end, as on a loaded machine."""
    monkeypatch.setattr(ending_together, "_LOOK_S", 1.0)
    monkeypatch.setattr(ending_together, "_GRACE_S", 0.2)
    port, done = free_port(), threading.Barrier(3)

    def work(rank, lasts):
        with all_machines(machine(rank, port, num=3), 1):
            process = sleeper()
            done.wait()
            process.join(lasts)
            assert process.is_alive()
            process.kill()
        return time.monotonic()

    first, second, third = at_once(lambda: work(0, 0.0), lambda: work(1, 0.3), lambda: work(2, 2.5))
    # The second one's end tells that it knows; the third one knows when it looks.
    assert second < first < third


@pytest.mark.parametrize(
    "rank, num, message",
    [
        (0, 2, r"machine 1 of 2 did not come to tcp://127.0.0.1:\d+ within 0 s. Start the command on each machine"),
        (0, 4, r"machines 1, 2, 3 of 4 did not come"),
        (1, 2, r"machine 0 of 2 did not come to .* within 0 s \(.*refused\).*--machine-timeout SECONDS waits longer"),
    ],
)
def test_a_machine_that_does_not_come_is_named_when_the_time_is_over(rank, num, message):
    with pytest.raises(InputError, match=message):
        come(machine(rank, free_port(), num, timeout=0.0))


def test_a_long_wait_is_announced_once(monkeypatch, caplog):
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(machines, "time", clock)
    port = free_port()
    with pytest.raises(InputError, match="within 60 s"):
        come(machine(1, port))
    [said] = caplog.messages
    assert said == f"Waiting at tcp://127.0.0.1:{port} for machine 0 of 2, for at most 50 s more."


@pytest.mark.parametrize(
    "others, message",
    [
        ([(1, 3, 1), (1, 3, 1)], "two machines have the --machine-rank 1: expected 0 to 2, each once."),
        (
            [(1, 2, 1)],
            "machine 1 was started with --num-machines 2 --num-gpus 1, machine 0 with --num-machines 3 --num-gpus 1",
        ),
        (
            [(2, 3, 4)],
            "machine 2 was started with --num-machines 3 --num-gpus 4, machine 0 with --num-machines 3 --num-gpus 1",
        ),
    ],
    ids=["rank", "machines", "processes"],
)
def test_a_machine_that_does_not_belong_there_ends_all_of_them(others, message):
    port = free_port()
    calls = [lambda rank=rank, num=num, size=size: come(machine(rank, port, num), size) for rank, num, size in others]
    errors = at_once(lambda: come(machine(0, port, num=3)), *calls)
    assert all(isinstance(error, InputError) and message in str(error) for error in errors), errors


def test_a_port_that_something_else_uses_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match="where this machine, whose --machine-rank is 0, cannot be met .*free port"):
            come(machine(0, port))


@pytest.mark.parametrize("url", ["node0:29500", "tcp://node0", "tcp://node0:port", "tcp://:29500", "file:///shared/place"])
def test_a_place_to_meet_that_is_none_is_refused(url):
    args = machine(0, 1)
    args.dist_url = url
    with pytest.raises(InputError, match=r"expected tcp://HOST:PORT, for example tcp://node0:29500"):
        check_machines(args)


def test_a_time_that_is_none_is_refused():
    for timeout in (-1.0, float("nan")):
        with pytest.raises(InputError, match="--machine-timeout is .*, expected 0 s or more"):
            check_machines(machine(0, 1, timeout=timeout))
