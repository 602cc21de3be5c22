"""Which machine and which versions a result was computed with."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import imrsf_d2
from imrsf_d2.utils.parallel import usable_cores
from imrsf_d2.utils.processor import processor

__all__ = ["describe_machine", "describe_versions"]


def describe_machine() -> str:
    """The processor, the instruction set that PyTorch uses of it, the number of cores that this process may use, and the
    GPUs if there are any."""
    import torch

    cores, cpu = usable_cores(), processor()
    family = f"family {cpu.family}, " * bool(cpu.family)
    instructions = torch.backends.cpu.get_cpu_capability()
    text = f"{cpu.name} ({family}{instructions}), {cores} core{'s' * (cores != 1)}"
    if torch.cuda.is_available():
        text += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return text


def describe_versions(packages: Sequence[str] = ("torch", "torchvision", "numpy", "pycocotools")) -> str:
    """The versions of this package, of Python and of packages that results may depend on; those not installed are left out."""
    parts = [f"imrsf_d2 {imrsf_d2.__version__}{_commit()}", f"Python {platform.python_version()}"]
    for package in packages:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


def _commit() -> str:
    """The commit of the source code, in parentheses; empty unless it is a git checkout."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=10,
            cwd=Path(imrsf_d2.__file__).parent,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f" ({result.stdout.strip()})"
