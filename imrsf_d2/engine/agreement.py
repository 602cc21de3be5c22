"""Checks that the processes of a run agree: on several machines they may read different files."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import nn

from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.keys import flat_keys

__all__ = ["any_process", "check_same", "check_same_config", "check_same_weights"]

#: Keys that may differ between processes: paths (the weights themselves are compared) and the number of workers.
OWN_KEYS = ("OUTPUT_DIR", "MODEL.WEIGHTS", "DATALOADER.NUM_WORKERS")
#: Bytes of an element -> an integer type of the same size.
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def check_same(what: str, value: Hashable, remedy: str) -> None:
    """Check that a value is the same in all processes; each of them must call this.

    Args:
        what: what the value is, for the message.
        remedy: a sentence for the message.

    Raises:
        InputError: in all processes, with the value of each.
    """
    values = comm.all_gather(value)
    if len(set(values)) > 1:
        raise InputError(f"the processes of this run differ: {what} is {_by_rank(values)}. {remedy}")


def any_process(value: bool) -> bool:
    """Whether something is true of any process; each of them must call this."""
    return any(comm.all_gather(value))


def check_same_config(cfg: CfgNode) -> None:
    """Check that all processes have the same config, apart from paths and workers.

    Raises:
        InputError: in all processes, with the first keys that differ.
    """
    if comm.get_world_size() == 1:
        return
    configs = comm.all_gather({key: repr(value) for key, value in flat_keys(cfg) if key not in OWN_KEYS})
    keys = sorted(key for key in set().union(*configs) if len({config.get(key) for config in configs}) > 1)
    if keys:
        rest = f" (and {len(keys) - 3} more)" if len(keys) > 3 else ""
        raise InputError(
            "the processes of this run differ: "
            + "; ".join(f"{key} is {_by_rank([config.get(key) for config in configs])}" for key in keys[:3])
            + f"{rest}. Start "
            "all of them with the same config file and KEY VALUE pairs."
        )


def check_same_weights(model: nn.Module, source: str) -> None:
    """Check that all processes hold the same weights, after each of them has read its own file.

    Args:
        source: the key or folder that names the file, for the message.

    Raises:
        InputError: in all processes.
    """
    if comm.get_world_size() > 1:  # a single process has nothing to compare with
        check_same(
            f"the sum over the bits of the model's weights, read from {source},",
            _sum_of_weights(model),
            "Each process reads that file by itself: put it into a folder that all machines share, or a copy of "
            "it onto each of them.",
        )


def _sum_of_weights(model: nn.Module) -> int:
    """The sum over the weights' bits as integers: it does not depend on the order of summation, nor on the machine."""
    sums = [
        parameter.detach().reshape(-1).view(_BITS[parameter.element_size()]).sum(dtype=torch.int64).reshape(1)
        for parameter in model.parameters()
        if parameter.numel()
    ]
    return int(torch.cat(sums).sum()) if sums else 0


def _by_rank(values: Sequence[Hashable]) -> str:
    """E.g. "3 on rank 0 and 0 on ranks 1, 2"."""
    ranks: dict[Hashable, list[str]] = {}
    for rank, value in enumerate(values):
        ranks.setdefault(value, []).append(str(rank))
    return " and ".join(f"{value} on rank{'s' * (len(where) > 1)} {', '.join(where)}" for value, where in ranks.items())
