"""What setup.py allows is what was tried, and docs/versions.md says the same."""

import ast
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from imrsf_d2.compat import environment
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


def test_one_list_of_pythons():
    """setup.py has the list. install.sh takes those and check_env accepts them; docs/versions.md has a row for each."""
    pythons, allowed = declared("PYTHONS"), SpecifierSet(declared("python_requires"))
    assert [minor for minor in range(20) if f"3.{minor}.1" in allowed] == [
        int(python.removeprefix("3.")) for python in pythons
    ]
    assert [f"{major}.{minor}" for major, minor in environment.PYTHON_RANGE] == [pythons[0], pythons[-1]]
    script = (REPOSITORY / "requirements/install.sh").read_text()
    assert f'SUPPORTED="{pythons[0]} to {pythons[-1]}"' in script and all(f"python{python} " in script for python in pythons)
    rows = re.findall(r"^\| (\d+\.\d+)\.\d+ +\|", (REPOSITORY / "docs/versions.md").read_text(), re.M)
    assert rows == pythons
    tool = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
    assert tool["ruff"]["target-version"] == f"py{pythons[0].replace('.', '')}"


def test_the_documented_versions_are_those_tried():
    rows = re.findall(r"^\| ([\w-]+) +\| ([\w.]+) +\| ([\w.]+) +\|$", (REPOSITORY / "docs/versions.md").read_text(), re.M)
    assert sorted(name for name, _, _ in rows) == sorted(r.name for r in REQUIRED)
    for name, oldest, newest in rows:
        assert (Version(oldest), Version(newest)) == (pinned("oldest.txt")[name], pinned("base.txt")[name]), name
