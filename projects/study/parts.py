"""One Markdown file of several generated parts, each of which is replaced alone."""

from __future__ import annotations

import re
from pathlib import Path

from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError

__all__ = ["PRETRAINING", "STUDY", "write_part"]

STUDY, PRETRAINING = "study", "pre-training"
#: part -> the command that writes it; in the order in which they stand in a file.
AUTHORS = {STUDY: "tools/study.py", PRETRAINING: "tools/pretrain_demo.py"}
_MARKER = re.compile(r"^<!-- (begin|end) (\S+)(?:: .*)? -->$\n?", re.MULTILINE)
#: What was a marker before somebody edited it.
_LIKE_A_MARKER = re.compile(r"^.*<!--\s*(?:begin|end)\b.*", re.MULTILINE)


def write_part(path: Path, name: str, text: str) -> None:
    """Write a part of a file, and leave its other parts and what stands between them as they are.

    A file without any marker is what tools/study.py wrote before there were parts: all of it is the part STUDY.

    Args:
        path: the file; made if there is none.
        name: one of `AUTHORS`.
        text: the part, Markdown.

    Raises:
        ValueError: if the file's markers are damaged; the file is left as it is.
    """
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    if before.strip() and not _LIKE_A_MARKER.search(before):
        before = _enclose(STUDY, before)
    parts = _find_parts(before, path)
    block, order = _enclose(name, text), list(AUTHORS)
    if name in parts:
        start, stop = parts[name]
        write_text(path, before[:start] + block + before[stop:])
        return
    # A new part stands before those that follow it.
    place = min(
        (start for other, (start, _) in parts.items() if order.index(other) > order.index(name)), default=len(before)
    )
    pieces = [piece.strip("\n") for piece in (before[:place], block, before[place:])]
    write_text(path, "\n\n".join(piece for piece in pieces if piece) + "\n")


def _enclose(name: str, text: str) -> str:
    body = text.strip("\n")
    return f"<!-- begin {name}: written by {AUTHORS[name]}, which replaces it -->\n{body}\n<!-- end {name} -->\n"


def _find_parts(text: str, path: Path) -> dict[str, tuple[int, int]]:
    """Where each part that a text has starts and stops, its markers included."""
    markers = list(_MARKER.finditer(text))
    found = [(marker[1], marker[2]) for marker in markers]
    names = [name for kind, name in found if kind == "begin"]
    sound = (
        found == [(kind, name) for name in names for kind in ("begin", "end")]
        and len(set(names)) == len(names)
        and set(names) <= set(AUTHORS)
    )
    lines = [match[0] for match in _LIKE_A_MARKER.finditer(text)]
    if not sound or len(lines) > len(markers):
        raise InputError(
            f"{path} has the markers {lines}, expected a line '<!-- begin NAME -->' and later a line "
            f"'<!-- end NAME -->', once each for a NAME of {list(AUTHORS)}. Mend them, or move the file "
            "away to have it written anew."
        )
    return {first[2]: (first.start(), last.end()) for first, last in zip(markers[::2], markers[1::2])}
