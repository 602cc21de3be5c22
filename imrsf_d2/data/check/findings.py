"""What can be wrong with a dataset, and one instance of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Finding", "Group", "Kind", "group"]


@dataclass(frozen=True)
class Kind:
    """One thing that can be wrong.

    Args:
        name: for machines.
        noun: what is counted, in the singular: "file".
        title: what is wrong with it, after the noun: "that cannot be read". With an empty noun, a whole phrase.
        remedy: how to go on, as sentences.
        is_problem: whether training or scores would suffer; otherwise it is a remark, which may be as it should be.
    """

    name: str
    noun: str
    title: str
    remedy: str = ""
    is_problem: bool = True


@dataclass(frozen=True)
class Finding:
    """One instance of a kind.

    Args:
        kind: what is wrong.
        where: the sensor, or "labels"; empty if it is about whole tiles or the dataset.
        file: which file or tile has it; empty if it is about all of them.
        found: what is there.
        expected: what should be; empty if that is clear.
        dataset: the name of the dataset it is in; empty if it is about several.
    """

    kind: Kind
    where: str
    file: str
    found: str
    expected: str = ""
    dataset: str = ""


@dataclass(frozen=True)
class Group:
    """The findings of one kind in one sensor.

    Args:
        kind, where: which.
        findings: in the order of the datasets and their tiles; one or more.
    """

    kind: Kind
    where: str
    findings: tuple[Finding, ...]

    @property
    def datasets(self) -> dict[str, int]:
        """How many there are in each dataset."""
        return dict(Counter(finding.dataset for finding in self.findings if finding.dataset))


def group(findings: Iterable[Finding]) -> list[Group]:
    """Findings by kind and sensor, problems first, the kinds and their sensors in the order of their first appearance."""
    groups: dict[Kind, dict[str, list[Finding]]] = {}
    for finding in findings:
        groups.setdefault(finding.kind, {}).setdefault(finding.where, []).append(finding)
    kinds = sorted(groups, key=lambda kind: not kind.is_problem)
    return [Group(kind, where, tuple(found)) for kind in kinds for where, found in groups[kind].items()]
