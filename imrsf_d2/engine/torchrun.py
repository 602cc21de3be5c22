"""The ranks that torchrun gives a process, read from its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from imrsf_d2.utils.errors import InputError

__all__ = [
    "Place",
    "all_processes",
    "check_one_process",
    "is_first_process",
    "may_be_restarted",
    "processes_here",
    "read_place",
    "was_restarted",
]

#: Only these show that torchrun started the process: clusters set MASTER_ADDR and MASTER_PORT for other purposes too.
PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
MEETING_POINT = ("MASTER_ADDR", "MASTER_PORT")
_REMEDY = "Start with torchrun, which sets all of them, or unset them."


@dataclass(frozen=True)
class Place:
    """A process among those of all machines (`rank` of `world_size`), and of its own machine."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int


def read_place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """The ranks of this process; None if something other than torchrun started it.

    Raises:
        InputError: if a variable is missing, not a number, or contradicts another one.
    """
    found = {name: environment[name] for name in PLACE if name in environment}
    if not found:
        return None
    shown = ", ".join(f"{name}={value}" for name, value in found.items())
    missing = [name for name in (*PLACE, *MEETING_POINT) if name not in environment]
    if missing:
        raise InputError(f"the environment has {shown}, but no {', '.join(missing)}. {_REMEDY}")
    try:
        place = Place(*(int(value) for value in found.values()))
    except ValueError:
        raise InputError(f"the environment has {shown}, expected whole numbers. {_REMEDY}") from None
    machines, rest = divmod(place.world_size, max(place.local_world_size, 1))
    if machines < 1 or rest:
        raise InputError(
            f"the environment has {shown}: WORLD_SIZE is not a multiple of LOCAL_WORLD_SIZE, expected equally many "
            f"processes on each machine. {_REMEDY}"
        )
    if not (
        0 <= place.local_rank < place.local_world_size
        and 0 <= place.rank < place.world_size
        and place.rank % place.local_world_size == place.local_rank
    ):
        raise InputError(
            f"the environment has {shown}, expected RANK below WORLD_SIZE, and LOCAL_RANK equal to RANK modulo "
            f"LOCAL_WORLD_SIZE. {_REMEDY}"
        )
    return place


def processes_here(num_gpus: int | None, num_machines: int = 1) -> int:
    """How many processes of this run are on this machine: what --num-gpus says, or torchrun; one if neither does.

    Raises:
        InputError: if they contradict each other, or --num-gpus is less than 1.
    """
    if num_gpus is not None and num_gpus < 1:
        raise InputError(f"--num-gpus is {num_gpus}, expected 1 or more.")
    place = read_place()
    if place is None:
        return num_gpus or 1
    if num_gpus not in (None, place.local_world_size):
        raise InputError(
            f"--num-gpus is {num_gpus}, but torchrun started {place.local_world_size} processes on this "
            "machine (LOCAL_WORLD_SIZE, its --nproc_per_node): leave --num-gpus out."
        )
    machines = place.world_size // place.local_world_size
    if num_machines not in (1, machines):
        raise InputError(
            f"--num-machines is {num_machines}, but torchrun started processes on {machines} (WORLD_SIZE "
            f"{place.world_size}, LOCAL_WORLD_SIZE {place.local_world_size}): leave --num-machines out."
        )
    return place.local_world_size


def all_processes(num_gpus: int | None, num_machines: int = 1) -> int:
    """How many processes of this run there are, on all machines; see `processes_here`."""
    processes, place = processes_here(num_gpus, num_machines), read_place()
    return processes * num_machines if place is None else place.world_size


def is_first_process(machine_rank: int = 0) -> bool:
    """Whether this process writes and prints for all of them; also outside the process group.

    Args:
        machine_rank: the number of this machine, if it was not torchrun that started the process.
    """
    place = read_place()
    return machine_rank == 0 if place is None else place.rank == 0


def may_be_restarted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun starts the processes again after one of them has failed (its --max-restarts)."""
    return read_place(environment) is not None and int(environment.get("TORCHELASTIC_MAX_RESTARTS", 0)) > 0


def was_restarted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun has started this process again, on this machine, after one of them has failed."""
    return read_place(environment) is not None and int(environment.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def check_one_process(tool: str) -> None:
    """Reject a start in several processes, which would all do the same work and overwrite each other's files.

    Raises:
        InputError: if torchrun started more than one.
    """
    place = read_place()
    if place is not None and place.world_size > 1:
        raise InputError(
            f"torchrun started {place.world_size} processes (WORLD_SIZE), but {tool} works in one: start it without torchrun."
        )
