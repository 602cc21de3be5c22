"""The table that merges the classes of a vector map into those that a model learns."""

from __future__ import annotations

import json
from pathlib import Path

from imrsf_d2.utils.errors import InputError

__all__ = ["DEFAULT_TABLE", "prepared_classes"]

#: Urban Atlas 2018 to seven classes: rail counts as roads, wetland as water; 0 is the first class of the table.
DEFAULT_TABLE = Path(__file__).with_name("land_cover.csv")
#: The record that datasets/prepare_quadruplets.py leaves beside the tiles that it makes.
PREPARED = "prepared.json"


def prepared_classes(root: Path) -> tuple[str, ...] | None:
    """The classes that a folder of tiles was made with.

    Args:
        root: the folder that holds `labels`.

    Returns:
        Names, in the order of their indices; None if the tiles were not made by `datasets/prepare_quadruplets.py`.

    Raises:
        InputError: if its `prepared.json` names no classes.
    """
    path = root / PREPARED
    if not path.is_file():
        return None
    try:
        classes = json.loads(path.read_text(encoding="utf-8"))["parameters"]["classes"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} names no classes ({error!r}), expected the record that datasets/prepare_quadruplets.py writes: "
            "make the tiles again."
        ) from error
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise InputError(f"{path} has the classes {classes!r}, expected a list of names; make the tiles again.")
    return tuple(classes)
