"""Class tables: which class each code of a land-cover map becomes, as CSV with the columns `code`, `class` and `color`.

The tables of well-known maps lie in `imrsf_d2/data/tables`, and are found by name.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from imrsf_d2.data.label_codes import IGNORE_LABEL, LabelCodes
from imrsf_d2.geo.codes import code_text
from imrsf_d2.utils.errors import InputError, MissingFileError, percent

__all__ = ["ClassTable", "TableClass", "packaged_tables", "read_class_table"]

TABLES = Path(__file__).with_name("tables")
COLUMNS = ("code", "class")
EXAMPLE = TABLES / "esri_land_cover.csv"


@dataclass(frozen=True)
class TableClass:
    """A class of a table.

    Args:
        name: of the class.
        color: (red, green, blue) from 0 to 255, None if the table has none.
        codes: as text, in the order of the table.
    """

    name: str
    color: tuple[int, int, int] | None
    codes: tuple[str, ...]


@dataclass(frozen=True)
class ClassTable:
    """The class that each code of a map becomes.

    Args:
        path: of the file, for messages.
        rows: the classes, in the order of their indices.
        unlabeled: codes that mean "not labeled".
    """

    path: str
    rows: tuple[TableClass, ...]
    unlabeled: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their indices."""
        return tuple(row.name for row in self.rows)

    @cached_property
    def codes(self) -> dict[str, int | None]:
        """Code as text -> class index, None for those that mean "not labeled"."""
        codes: dict[str, int | None] = {code: index for index, row in enumerate(self.rows) for code in row.codes}
        return codes | dict.fromkeys(self.unlabeled)

    def numbers(self, codes: Iterable[str]) -> tuple[int, ...]:
        """Codes of the table as numbers, as they are found in rasters.

        Raises:
            ValueError: if one is no whole number.
        """
        return tuple(map(self._number, codes))

    def label_codes(self) -> LabelCodes:
        """What the pixels of a raster stand for.

        Raises:
            ValueError: if a code is no whole number.
        """
        return LabelCodes.of({row.name: self.numbers(row.codes) for row in self.rows}, self.numbers(self.unlabeled))

    def indices(self, values: Iterable[object], where: str) -> np.ndarray:
        """The classes of the values in a column of a vector file.

        Args:
            values: codes as text or numbers, None or NaN for null (whose code is empty); or names of classes, in upper or
                lower case.
            where: the column, for messages.

        Returns:
            [N] uint8 class indices, IGNORE_LABEL where the code means "not labeled".

        Raises:
            ValueError: if a value is neither; lists all such values with their share of the features.
        """
        names = {name.casefold(): index for index, name in enumerate(self.classes)}
        texts = [code_text(value) for value in values]
        meanings = {
            text: self.codes[text] if text in self.codes else names[text.casefold()]
            for text in set(texts)
            if text in self.codes or text.casefold() in names
        }
        if unknown := Counter(text for text in texts if text not in meanings):
            listed = ", ".join(
                f"{repr(text) if text else 'null'} ({percent(count / len(texts))} of the features)"
                for text, count in sorted(unknown.items())
            )
            raise InputError(
                f"{where} holds {listed}, which {self.path} lacks. Add a line CODE,CLASS for each to a copy of the table (an "
                "empty class means 'not labeled', an empty code null)."
            )
        found = (meanings[text] for text in texts)
        return np.array([IGNORE_LABEL if index is None else index for index in found], dtype=np.uint8)

    def _number(self, code: str) -> int:
        try:
            return int(code)
        except ValueError:
            raise InputError(
                f"{self.path} has the code {code!r}, expected whole numbers, as pixels of a label raster have."
            ) from None


def packaged_tables() -> tuple[str, ...]:
    """The names of the tables that come with the package."""
    return tuple(sorted(path.stem for path in TABLES.glob("*.csv")))


def read_class_table(table: str | os.PathLike) -> ClassTable:
    """Read a class table.

    Classes are numbered in the order of their first appearance; a row with an empty class means "not labeled". Other columns
    are ignored, # begins a comment line. `color` is as in #c4281b, or empty.

    Args:
        table: the path of a CSV file, or the name of a packaged table.

    Raises:
        MissingFileError: if there is no such file or table.
        ValueError: if a column is missing, a code is listed twice, a color is none, or there are no classes or more than 255.
    """
    path = TABLES / f"{table}.csv" if table in packaged_tables() else Path(table).expanduser()
    if not path.is_file():
        raise MissingFileError(
            f"there is no class table {os.fspath(table)}, expected a CSV file with the columns code, class and color, or one of "
            f"{', '.join(packaged_tables())}."
        )
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip() and line[0] != "#"]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8 ({error}), expected a CSV file.") from error
    # Spreadsheets write semicolons where the comma is the decimal sign.
    rows = csv.DictReader(lines, delimiter=";" if lines and ";" in lines[0] and "," not in lines[0] else ",")
    if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
        raise InputError(
            f"{path} has the columns {rows.fieldnames}, expected among them {missing[0]!r}; {EXAMPLE} is an example."
        )
    codes: dict[str, list[str]] = {}
    colors: dict[str, tuple[int, int, int]] = {}
    seen: set[str] = set()
    for row in rows:
        code, name, color = ((row.get(column) or "").strip() for column in (*COLUMNS, "color"))
        if code in seen:
            raise InputError(f"{path} lists the code {code!r} twice, expected each once: it becomes one class.")
        seen.add(code)
        codes.setdefault(name, []).append(code)
        if name and color and colors.setdefault(name, _rgb(color, path)) != _rgb(color, path):
            raise InputError(f"{path} gives the class {name!r} another color with the code {code!r}, expected the same one.")
    unlabeled = tuple(codes.pop("", ()))
    if not 0 < len(codes) < 256:
        raise InputError(f"{path} names {len(codes)} classes, expected 1 to 255.")
    classes = (TableClass(name, colors.get(name), tuple(of_class)) for name, of_class in codes.items())
    return ClassTable(os.fspath(path), tuple(classes), unlabeled)


def _rgb(color: str, path: Path) -> tuple[int, int, int]:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        raise InputError(f"{path} has the color {color!r}, expected six hexadecimal digits, as in #c4281b.")
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue
