"""What the package requires, read from where it is declared."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["required_modules"]

DISTRIBUTION = "imrsf_d2"
#: In a checkout. It is read before what is installed, which an editable installation leaves as it was on that day.
SETUP = Path(__file__).resolve().parents[2] / "setup.py"
#: Distribution -> what it is imported as, where that is more than another way to write its name.
IMPORTED_AS = {"hydra-core": "hydra", "opencv-python-headless": "cv2", "pillow": "PIL"}


def required_modules() -> dict[str, str]:
    """The distributions that the package cannot do without, and what each is imported as.

    Raises:
        PackageNotFoundError: if the package is neither installed nor a checkout.
    """
    declared = _declared_in_setup(SETUP)
    if declared is None:
        declared = importlib.metadata.requires(DISTRIBUTION) or []
    return {name: IMPORTED_AS.get(name, name.replace("-", "_")) for name in _names(declared)}


def _names(requirements: Iterable[str]) -> list[str]:
    """The names in some requirements, without those of extras. `packaging`, which parses them, is itself required."""
    plain = [text for text in requirements if "extra ==" not in text]
    return [found[0].lower() for text in plain if (found := re.match(r"[\w.-]+", text))]


def _declared_in_setup(path: Path) -> list[str] | None:
    """INSTALL_REQUIRES of a setup.py; None if there is no such file, or another project's."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    for node in ast.parse(text).body if f'name="{DISTRIBUTION}"' in text else ():
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INSTALL_REQUIRES":
            return ast.literal_eval(node.value)
    return None
