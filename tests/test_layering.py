"""Imports point one way, from the commands down to the modalities, so that each subpackage can be read and changed alone."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "imrsf_d2"
PROJECTS = PACKAGE.parent / "projects"
#: subpackage, or module that stands alone -> the others that it may import, besides utils
ALLOWED = {
    "utils": set(),
    "compat": set(),
    "modalities": set(),
    "geo": {"modalities"},
    "modeling": {"modalities"},
    "data": {"modalities", "geo"},
    "synthetic": {"modalities", "geo", "data"},
    "preparation": {"modalities", "geo", "data", "inference"},
    "config": {"modalities", "modeling", "data"},
    "checkpoint": {"modalities", "modeling"},
    "evaluation": {"modalities", "compat", "geo", "data"},
    "visualization": {"modalities", "data", "evaluation"},
    "inference": {"modalities", "geo", "data"},
    "hf": {"modalities", "modeling", "checkpoint", "evaluation"},
    "integrations": {"modalities", "modeling"},
    "export": {"modalities", "modeling"},
    "registration": {"compat"},  # loads what it registers by name
    "engine": {
        "modalities",
        "compat",
        "registration",
        "config",
        "modeling",
        "checkpoint",
        "data",
        "evaluation",
        "visualization",
        "inference",
        "export",
    },
    "commands": {
        "modalities",
        "compat",
        "registration",
        "modeling",
        "checkpoint",
        "data",
        "synthetic",
        "preparation",
        "visualization",
        "engine",
    },
    "plugin": {"config"},
    "cli": {"commands"},
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; this project writes imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def subpackage_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def subpackages_imported(path):
    subpackages = {name.split(".")[1] for name in imported_modules(path) if name.startswith("imrsf_d2.")}
    return {
        subpackage
        for subpackage in subpackages
        if (PACKAGE / subpackage).is_dir() or (PACKAGE / f"{subpackage}.py").exists()
    }


def test_imports_point_one_way():
    upward = {
        str(path.relative_to(PACKAGE)): found
        for path in MODULES
        if (found := subpackages_imported(path) - {subpackage_of(path), "utils"} - ALLOWED[subpackage_of(path)])
    }
    assert not upward


def test_the_rules_have_no_circle():
    below = {subpackage: set(allowed) for subpackage, allowed in ALLOWED.items()}
    while below:
        lowest = {subpackage for subpackage, allowed in below.items() if not allowed}
        assert lowest, f"a circle among {sorted(below)}"
        below = {subpackage: allowed - lowest for subpackage, allowed in below.items() if subpackage not in lowest}


def test_the_package_never_imports_the_projects():
    assert not [path for path in MODULES if any(name.split(".")[0] == "projects" for name in imported_modules(path))]
    assert [path for path in PROJECTS.rglob("*.py") if any(name.startswith("imrsf_d2.") for name in imported_modules(path))]


def test_the_model_needs_torch_alone():
    adapters = ("backbone", "pretrain", "pyramid_backbones", "__init__")
    assert not [
        path
        for path in MODULES
        if subpackage_of(path) == "modeling"
        and path.stem not in adapters
        and any(name.startswith(("detectron2", "mask2former", "timm")) for name in imported_modules(path))
    ]


def test_modalities_need_nothing():
    modules = [path for path in MODULES if subpackage_of(path) == "modalities"]
    imported = {name.split(".")[0] for path in modules for name in imported_modules(path)}
    assert "dataclasses" in imported and not imported & {"torch", "numpy", "detectron2"}
