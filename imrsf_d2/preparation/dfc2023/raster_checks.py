"""Checks of the rasters of one tile, which read every pixel and write nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imrsf_d2.data.check import kinds
from imrsf_d2.data.check.files import FileFacts, examine_file
from imrsf_d2.data.check.findings import Finding
from imrsf_d2.data.check.tiles import place_findings, size_findings
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.stored import kind_of
from imrsf_d2.preparation.dfc2023.bands import BANDS, DTYPE_KINDS

__all__ = ["Problem", "check_tile"]


@dataclass(frozen=True)
class Problem:
    """One line of the list: which file, what was found, what was expected."""

    file: str
    problem: str
    expected: str


def check_tile(item: tuple[Mapping[str, str], tuple[int, int] | None]) -> list[Problem]:
    """Check all rasters of a tile.

    Args:
        item: path of each modality that the tile has; and (height, width) in the labels, None if it has none.
    """
    paths, labeled = item
    findings: list[Finding] = []
    problems: list[Problem] = []
    grids: dict[str, Grid] = {}
    for name, path in paths.items():
        facts = examine_file(path, BANDS[name], 1, findings)
        if facts is not None:
            grids[name] = facts.grid
            problems += _check_data_type(facts, name)
    findings += size_findings(paths, grids, labeled, "the labels") + place_findings(paths, grids)
    return problems + [
        Problem(finding.file, finding.found, finding.expected or finding.where)
        for finding in findings
        if finding.kind.is_problem or finding.kind == kinds.NO_DATA
    ]


def _check_data_type(facts: FileFacts, name: str) -> list[Problem]:
    kind, title = DTYPE_KINDS[name]
    found = set(map(kind_of, facts.dtypes))
    # Integers with a scale are as good: decimeters, say.
    if found == {kind} or (facts.scaled and kind == "f" and found <= set("iu")):
        return []
    return [Problem(facts.path, f"data type {', '.join(facts.dtypes)}", f"{title} for {name}")]
