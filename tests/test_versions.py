"""What setup.py allows is what was tried, and docs/versions.md says the same."""

import ast
import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.tiny import REPOSITORY


def declared(name):
    """The requirements in a list, or in the lists of a dictionary, that setup.py assigns or passes under a name."""
    tree = ast.parse((REPOSITORY / "setup.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and node.targets[0].id == name or isinstance(node, ast.keyword) and node.arg == name:
            if not isinstance(node.value, ast.Name):
                return ast.literal_eval(node.value)
    raise AssertionError(f"no {name} in setup.py")


def pinned(file):
    """name -> version of the packages that a file of requirements/ pins, on the Python that CI uses."""
    here = {"python_version": "3.11", "python_full_version": "3.11.9"}
    lines = (re.sub(r"\s*#.*", "", line) for line in (REPOSITORY / "requirements" / file).read_text().splitlines())
    asked = [Requirement(line) for line in lines if "==" in line]
    return {r.name: Version(str(r.specifier)[2:]) for r in asked if not r.marker or r.marker.evaluate(here)}


REQUIRED = [Requirement(text) for text in [*declared("INSTALL_REQUIRES"), *declared("extras_require")["test"]]]


@pytest.mark.parametrize("required", REQUIRED, ids=lambda r: r.name)
def test_the_lowest_version_allowed_is_the_oldest_tried(required):
    lowest = [Version(bound.version) for bound in required.specifier if bound.operator == ">="]
    assert lowest == [pinned("oldest.in")[required.name]]
    assert required.specifier.contains(pinned("base.txt")[required.name])
    assert pinned("oldest.txt")[required.name] == lowest[0]


def test_the_documented_versions_are_those_tried():
    rows = re.findall(r"^\| ([\w-]+) +\| ([\w.]+) +\| ([\w.]+) +\|$", (REPOSITORY / "docs/versions.md").read_text(), re.M)
    assert sorted(name for name, _, _ in rows) == sorted(r.name for r in REQUIRED)
    for name, oldest, newest in rows:
        assert (Version(oldest), Version(newest)) == (pinned("oldest.txt")[name], pinned("base.txt")[name]), name
