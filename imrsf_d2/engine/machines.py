"""Where the machines of a run meet before any process starts, so that one that never comes is an error and no long wait."""

from __future__ import annotations

import argparse
import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from torch.distributed import Store, TCPStore, register_rendezvous_handler

from imrsf_d2.engine.ending_together import ending_together
from imrsf_d2.utils.errors import InputError, counted

__all__ = ["all_machines", "check_machines"]

logger = logging.getLogger(__name__)

#: How often a machine looks whether the others have come, and after how long it says for whom it waits.
_LOOK_S, _SAY_AFTER_S = 0.2, 10.0
#: For answers of a store that is there.
_ANSWER = timedelta(seconds=30)
#: What --dist-url begins with, and what the processes get in its place.
_TCP, _MET = "tcp", "imrsf"
_SIZES, _REFUSED = "imrsf/sizes", "imrsf/refused"


def check_machines(args: argparse.Namespace) -> None:
    """Check the options that place this machine among others.

    Args:
        args: with num_machines, machine_rank and dist_url, and with machine_timeout if there are several machines.

    Raises:
        InputError: if they contradict each other.
    """
    if args.num_machines < 1:
        raise InputError(f"--num-machines is {args.num_machines}, expected 1 or more.")
    if not 0 <= args.machine_rank < args.num_machines:
        raise InputError(
            f"--machine-rank is {args.machine_rank}, expected 0 to {args.num_machines - 1}: each of the "
            f"{counted(args.num_machines, 'machine')} (--num-machines) has a number of its own, from 0."
        )
    if args.num_machines == 1:
        return
    if args.dist_url == "auto":
        raise InputError(
            f"--dist-url is not given, expected the place where the processes of {args.num_machines} machines meet: add "
            "--dist-url tcp://HOST:PORT, the same for all, with a free port of the machine whose --machine-rank is 0."
        )
    _host_and_port(args.dist_url)
    if not args.machine_timeout >= 0:
        raise InputError(f"--machine-timeout is {args.machine_timeout}, expected 0 s or more.")


@contextlib.contextmanager
def all_machines(args: argparse.Namespace, processes: int) -> Iterator[str]:
    """Wait until the command runs on all machines. Within the context, their processes can meet, and end together.

    The first machine keeps a store at --dist-url as long as its command runs, as torchrun does.

    Args:
        args: as of `check_machines`, of several machines.
        processes: of each machine.

    Yields:
        The URL at which the processes meet, for Detectron2's `launch`.

    Raises:
        InputError: if a machine has not come within --machine-timeout seconds, two of them have the same number, they
            differ in the number of machines or processes, or there can be no store at --dist-url; see also `ending_together`.
    """
    deadline = time.monotonic() + args.machine_timeout
    store = _keep_store(args) if args.machine_rank == 0 else _find_store(args, deadline)
    try:
        _come(store, args, processes)
        _wait_for_others(store, args, deadline)
    except RuntimeError as error:
        raise InputError(
            f"the machine whose --machine-rank is 0 ended while this one waited at {args.dist_url}: its output says why."
        ) from error
    with ending_together(store, args.machine_rank, args.num_machines):
        yield args.dist_url.replace(_TCP, _MET, 1)
    del store


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # no number, or none that a port can have
        parts, host, port = urlsplit(""), None, None
    if parts.scheme != _TCP or not host or not port:
        raise InputError(f"--dist-url is {url!r}, expected tcp://HOST:PORT, for example tcp://node0:29500.")
    return host, port


def _keep_store(args: argparse.Namespace) -> Store:
    try:
        return TCPStore(*_host_and_port(args.dist_url), is_master=True, wait_for_workers=False, timeout=_ANSWER)
    except RuntimeError as error:
        raise InputError(
            f"--dist-url is {args.dist_url}, where this machine, whose --machine-rank is 0, cannot be met "
            f"({_first_line(error)}); expected its own name and a free port of it."
        ) from error


def _find_store(args: argparse.Namespace, deadline: float) -> Store:
    host, port = _host_and_port(args.dist_url)
    waiting = _Waiting(args, deadline)
    while True:
        # Asked for by a plain connection first: torch's own attempts cannot be interrupted, and fill the output.
        try:
            socket.create_connection((host, port), timeout=5).close()
            break
        except OSError as error:
            waiting.go_on("machine 0", f" ({error})")
    try:
        return TCPStore(host, port, is_master=False, timeout=_ANSWER)
    except RuntimeError as error:
        raise InputError(
            f"what answers at {args.dist_url} is not this command on the machine whose --machine-rank is 0 "
            f"({_first_line(error)}): expected its name, and a port that nothing else uses."
        ) from error


def _come(store: Store, args: argparse.Namespace, processes: int) -> None:
    """Tell the others that this machine is there; end all of them if it does not belong to them."""
    sizes = f"--num-machines {args.num_machines} --num-gpus {processes}"
    if args.machine_rank == 0:
        store.set(_SIZES, sizes)
    expected = store.get(_SIZES).decode()
    problem = None
    if sizes != expected:
        problem = (
            f"machine {args.machine_rank} was started with {sizes}, machine 0 with {expected}: expected the same for all."
        )
    elif store.add(_key(args.machine_rank), 1) > 1:
        problem = (
            f"two machines have the --machine-rank {args.machine_rank}: expected 0 to {args.num_machines - 1}, each once."
        )
    if problem:
        store.set(_REFUSED, problem)
        raise InputError(problem)


def _wait_for_others(store: Store, args: argparse.Namespace, deadline: float) -> None:
    waiting = _Waiting(args, deadline)
    while missing := [rank for rank in range(args.num_machines) if not store.check([_key(rank)])]:
        if store.check([_REFUSED]):
            problem = store.get(_REFUSED).decode()
            if args.machine_rank == 0:
                time.sleep(5 * _LOOK_S)  # the store ends with this machine's command: let the others read it, too
            raise InputError(problem)
        waiting.go_on(f"machine{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}")


class _Waiting:
    """Waits a little each time, says so once, and gives up in the end."""

    def __init__(self, args: argparse.Namespace, deadline: float):
        self._args, self._deadline = args, deadline
        self._say = time.monotonic() + _SAY_AFTER_S

    def go_on(self, whom: str, why: str = "") -> None:
        """Wait a moment for `whom`, a machine or several.

        Raises:
            InputError: if the time is over.
        """
        args, now = self._args, time.monotonic()
        if now >= self._deadline:
            raise InputError(
                f"{whom} of {args.num_machines} did not come to {args.dist_url} within {args.machine_timeout:g} s{why}. Start "
                "the command on each machine, with its own --machine-rank and the same --dist-url, whose port all of them "
                "can reach; --machine-timeout SECONDS waits longer."
            )
        if now >= self._say:
            self._say = self._deadline
            logger.warning(
                "Waiting at %s for %s of %d, for at most %.0f s more.",
                args.dist_url,
                whom,
                args.num_machines,
                self._deadline - now,
            )
        time.sleep(_LOOK_S)


def _key(rank: int) -> str:
    return f"imrsf/machine/{rank}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _join(url: str, timeout: timedelta, **_: object) -> Iterator[tuple[Store, int, int]]:
    """torch's way to a store: all processes are clients of the one that the first machine's command keeps."""
    parts = urlsplit(url)
    place = parse_qs(parts.query)
    assert parts.hostname and parts.port
    store = TCPStore(parts.hostname, parts.port, is_master=False, timeout=timeout)
    yield store, int(place["rank"][0]), int(place["world_size"][0])


register_rendezvous_handler(_MET, _join)
