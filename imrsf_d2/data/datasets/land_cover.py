"""The table that merges the classes of a vector map into those that a model learns."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.utils.errors import InputError

__all__ = ["DEFAULT_TABLE", "MergeTable", "prepared_classes", "read_merge_table"]

#: Urban Atlas 2018 to seven classes: rail counts as roads, wetland as water; 0 is the first class of the table.
DEFAULT_TABLE = Path(__file__).with_name("land_cover.csv")
COLUMNS = ("code", "class")
#: The record that datasets/prepare_quadruplets.py leaves beside the tiles that it makes.
PREPARED = "prepared.json"


@dataclass(frozen=True)
class MergeTable:
    """The class that each code of a vector map becomes.

    Args:
        classes: names, in the order of their indices.
        codes: code as text -> class index, or None for the map's own code of no data.
    """

    classes: tuple[str, ...]
    codes: dict[str, int | None]


def read_merge_table(path: str | os.PathLike = DEFAULT_TABLE) -> MergeTable:
    """Read a merge table: CSV with the columns `code` and `class`; other columns are ignored, # starts a comment line.

    Raises:
        ValueError: if a column is missing, a code is listed twice, or there are no classes or more than 255.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if line.strip() and not line.startswith("#"))
        if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
            raise InputError(
                f"{path} has the columns {rows.fieldnames}, expected among them {missing[0]!r}; "
                f"{DEFAULT_TABLE} is an example."
            )
        classes: dict[str, int] = {}
        codes: dict[str, int | None] = {}
        for row in rows:
            code, name = row["code"].strip(), (row["class"] or "").strip()
            if code in codes:
                raise InputError(f"{path} lists the code {code!r} twice, expected each once: it becomes one class.")
            codes[code] = classes.setdefault(name, len(classes)) if name else None
    if not 0 < len(classes) < 256:
        raise InputError(f"{path} names {len(classes)} classes, expected 1 to 255.")
    return MergeTable(tuple(classes), codes)


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
