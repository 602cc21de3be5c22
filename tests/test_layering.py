"""Imports point one way, from tools down to modalities, so that each room can be read and changed alone."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "imrsf_d2"
#: room -> the other rooms of the package that it may import
ALLOWED = {
    "modalities": set(),
    "atomic": set(),
    "parallel": set(),
    "precision": set(),
    "msdeform": set(),
    "command_names": set(),
    "cli": {"commands"},  # loads it by name
    "commands": {"modalities", "command_names", "registration", "upstream", "environment", "modeling", "checkpoint", "data",
                 "preparation", "evaluation", "visualization", "engine"},
    "errors": {"command_names"},  # which every room may import
    "keys": set(),
    "upstream": {"msdeform"},
    "registration": {"upstream"},
    "environment": {"upstream", "msdeform"},
    "config": {"modalities", "precision", "data", "modeling"},
    "modeling": {"modalities"},
    "checkpoint": {"modalities", "atomic", "modeling"},
    "data": {"modalities", "atomic", "parallel"},
    "preparation": {"modalities", "atomic", "parallel", "data"},
    "evaluation": {"modalities", "keys", "atomic", "parallel", "precision", "upstream", "data"},
    "visualization": {"modalities", "atomic", "precision", "data", "evaluation"},
    "engine": {"modalities", "keys", "atomic", "parallel", "precision", "registration", "upstream", "environment", "config",
               "modeling", "checkpoint", "data", "evaluation", "visualization"},
    "study": {"modalities", "atomic", "data", "engine", "evaluation", "visualization"},
    "benchmarks": {"modalities", "parallel", "config", "modeling", "data", "evaluation", "engine"},
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; this project writes imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    room = room_of(path)
    rooms = {name.split(".")[1] for name in imported_modules(path) if name.startswith("imrsf_d2.")}
    rooms = {r for r in rooms if (PACKAGE / r).is_dir() or (PACKAGE / f"{r}.py").exists()}
    assert rooms - {room, "errors"} <= ALLOWED[room]


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p) == "modeling" and p.stem not in ("backbone", "pretrain", "__init__")],
                         ids=lambda p: p.stem)
def test_the_model_needs_torch_alone(path):
    assert not [name for name in imported_modules(path) if name.startswith(("detectron2", "mask2former"))]


def test_modalities_need_nothing():
    assert not [n for n in imported_modules(PACKAGE / "modalities.py") if n.split(".")[0] in ("torch", "numpy", "detectron2")]
