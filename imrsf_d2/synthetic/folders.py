"""What writing has in common for all synthetic layouts: checked numbers, and a folder that records what it was made with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imrsf_d2.utils.claim import ClaimedFolder, claim_folder
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.parallel import run_jobs

__all__ = ["MARKER", "check_request", "claim_unwritten", "make_tiles"]

#: What a dataset was made with, and whether it is complete.
MARKER = "synthetic.json"


def check_request(num_train: int, num_val: int, size: int, seed: int) -> None:
    """Check the numbers that every layout asks for.

    Raises:
        ValueError: naming the one that cannot be used.
    """
    if size < 64 or size % 32:
        raise InputError(f"size is {size} px, expected a multiple of 32 and at least 64.")
    if num_train < 0 or num_val < 0 or num_train + num_val == 0 or seed < 0:
        raise InputError(
            f"num_train={num_train}, num_val={num_val}, seed={seed}: expected no negative number and at least one tile."
        )


def claim_unwritten(output: Path, parameters: Mapping, owned: Sequence[str], overwrite: bool) -> ClaimedFolder | None:
    """Claim a folder for a synthetic dataset (see `claim_folder`), unless it already holds exactly this dataset.

    Args:
        parameters: JSON-able; what the data follow from.
        owned: names below `output` that the layout writes.
        overwrite: replace synthetic data made with other parameters.

    Returns:
        None if there is nothing to write.

    Raises:
        FileExistsError: if other data are there.
    """
    claimed = claim_folder(output, MARKER, parameters, owned, overwrite=overwrite)
    if claimed.complete:
        if all((output / name).exists() for name in owned):
            return None
        claimed.mark(complete=False)
    return claimed


def make_tiles(make: Callable, num_train: int, num_val: int, num_workers: int, progress: bool) -> tuple[list, list]:
    """Make the tiles of both splits.

    Args:
        make: a picklable function of whether a tile is one of validation, and its number in the split.
        num_workers, progress: see `run_jobs`.

    Returns:
        What `make` returns for the tiles of training, and for those of validation, in order.
    """
    tiles = [(False, i) for i in range(num_train)] + [(True, i) for i in range(num_val)]
    made = run_jobs(make, tiles, num_workers, progress)
    return made[:num_train], made[num_train:]
