"""How every synthetic layout is written: folders marked until complete, never over real data."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError, OccupiedError

MARKER = "synthetic.json"


def write_json(path: Path, content: dict) -> None:
    """Write compact JSON, whole or not at all."""
    write_text(path, json.dumps(content, separators=(",", ":")) + "\n")


def check_request(num_train: int, num_val: int, size: int, seed: int) -> None:
    """See that the numbers asked for can be had.

    Raises:
        ValueError: naming what cannot.
    """
    if size < 64 or size % 32:
        raise InputError(f"size is {size} px, expected a multiple of 32 and at least 64.")
    if num_train < 0 or num_val < 0 or num_train + num_val == 0 or seed < 0:
        raise InputError(f"num_train={num_train}, num_val={num_val}, seed={seed}: expected none negative and a tile.")


def claim_folder(output: Path, parameters: dict, owned: Sequence[str], overwrite: bool) -> bool:
    """Decide whether `output` must be (re)written, and mark it as being written if so.

    Args:
        parameters: what the data follows from; JSON-able. Recorded in `synthetic.json`.
        owned: names below `output` that the layout writes; the only ones ever looked at or removed.

    Returns:
        False if the folder already holds exactly this data, complete.

    Raises:
        FileExistsError: if other data is there. Data without our marker is never removed, `overwrite` or not.
    """
    marker = output / MARKER
    parameters = json.loads(json.dumps(parameters))
    present = [name for name in owned if (output / name).exists()]
    if marker.exists():
        found = json.loads(marker.read_text())
        same = found.get("parameters") == parameters
        if same and found.get("complete") and present == list(owned):
            return False
        if not same and not overwrite:
            old = found.get("parameters", {})
            differing = sorted(key for key in {*old, *parameters} if old.get(key) != parameters.get(key))
            raise OccupiedError(
                f"{output} holds synthetic data made with other parameters (differing: "
                f"{', '.join(differing)}). Choose another --output, or replace it with --overwrite."
            )
        if not same:
            for name in present:
                (shutil.rmtree if (output / name).is_dir() else os.unlink)(output / name)
    elif present:
        raise OccupiedError(
            f"{output}/{present[0]} exists and was not written by this command (no {MARKER} beside "
            "it), so it is left alone. Choose another --output; --overwrite does not replace it."
        )
    output.mkdir(parents=True, exist_ok=True)
    write_json(marker, {"complete": False, "parameters": parameters})
    return True


def mark_complete(output: Path, parameters: dict) -> None:
    """Record that everything is on disk; the last file written."""
    write_json(output / MARKER, {"complete": True, "parameters": parameters})
