"""What is installed, where it comes from and whether it works: what tools/check_env.py prints."""

import importlib
import importlib.metadata
import sys
from dataclasses import dataclass, field
from pathlib import Path

from imrsf_d2.compat.requirements import required_modules

PYTHON_RANGE = ((3, 11), (3, 14))
#: Besides the declared requirements: what has no release that could be declared, and the package itself.
UNDECLARED = ("detectron2", "mask2former", "imrsf_d2")
REMEDY = "In a checkout, `make env` installs everything; README.md shows the steps for an environment of your own."


@dataclass
class Report:
    """Findings about an environment: `lines` (name, value) to print, and `problems`, each with its remedy."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        width = max((len(name) for name, _ in self.lines), default=0)
        text = [f"{name:{width}}  {value}" for name, value in self.lines]
        text += ["", *(f"PROBLEM: {problem}" for problem in self.problems), REMEDY] if self.problems else []
        return "\n".join(text)


def examine() -> Report:
    """Import everything that the project needs, exercise what is compiled, and name what is missing.

    Returns:
        The report; `report.ok` is False if anything a training run or an evaluation needs is missing or broken.
    """
    report = Report()
    version = sys.version_info[:2]
    report.lines.append(("python", f"{sys.version.split()[0]} ({sys.prefix})"))
    if not PYTHON_RANGE[0] <= version <= PYTHON_RANGE[1]:
        report.problems.append(
            "Python is {}.{}, expected {}.{} to {}.{}.".format(*version, *PYTHON_RANGE[0], *PYTHON_RANGE[1])
        )
    try:
        required = required_modules()
    except importlib.metadata.PackageNotFoundError:
        required = {}
        report.problems.append(
            "imrsf_d2 is not installed, and there is no checkout around it that would say what it requires."
        )
    for name, imported_as in {**required, **{name: name for name in UNDECLARED}}.items():
        _look_for(name, imported_as, report)
    if not report.problems:
        _exercise(report)
    return report


def _look_for(name: str, imported_as: str, report: Report) -> None:
    """Import a distribution, and report what came of it."""
    try:
        if name == "mask2former":  # some copies cannot be imported before they are prepared
            importlib.import_module("imrsf_d2.compat.upstream").prepare()
        module = importlib.import_module(imported_as)
    except Exception as error:  # a broken binary raises OSError or RuntimeError as readily as ImportError
        missing = isinstance(error, ModuleNotFoundError) and error.name == imported_as
        report.lines.append((name, "MISSING" if missing else "BROKEN"))
        label = name if imported_as.lower() == name.replace("-", "_") else f"{name} (imported as {imported_as})"
        report.problems.append(f"{label} is not installed." if missing else f"{label} cannot be imported: {error}")
    else:
        report.lines.append((name, _describe(name, module)))


def origin(package: str) -> tuple[str, str]:
    """Version and source of an imported package.

    Args:
        package: its import name.

    Returns:
        (version, origin), the origin being the distribution that installed it, or its folder for a source build.
    """
    module = importlib.import_module(package)
    version = getattr(module, "__version__", "?")
    folder = Path(str(module.__file__)).resolve().parent
    for name in importlib.metadata.packages_distributions().get(package, []):
        distribution = importlib.metadata.distribution(name)
        if folder.is_relative_to(Path(str(distribution.locate_file(""))).resolve()):
            return version, f"{name} {distribution.version}"
    return version, f"source in {folder}"


def _describe(name: str, module) -> str:
    """Version of an imported distribution, and of what it carries along."""
    if name in ("detectron2", "mask2former"):
        return "{} ({})".format(*origin(name))
    version = getattr(module, "__version__", None)
    if version is None:  # pycocotools, for one
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "?"
    if name == "rasterio":
        return f"{version} (GDAL {module.__gdal_version__})"
    if name == "torch":
        return f"{version} (CUDA {module.version.cuda or 'not built in'})"
    return str(version)


def _exercise(report: Report) -> None:
    """Run the compiled parts once: torchvision's operators, Mask2Former's attention op, COCO evaluation."""
    import torch
    import torchvision

    from imrsf_d2.compat import upstream

    if torch.cuda.is_available():
        report.lines.append(("device", f"{torch.cuda.get_device_name()} x {torch.cuda.device_count()}"))
    else:
        report.lines.append(("device", f"CPU, {torch.get_num_threads()} threads"))
    try:
        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        torchvision.ops.nms(box, torch.ones(1), 0.5)
    except Exception as error:
        report.problems.append(
            f"torchvision {torchvision.__version__} does not fit torch {torch.__version__} ({error}). Install a "
            "pair of the same release, both with CUDA or both without: a CPU-only torch does not match PyPI's torchvision."
        )
    try:
        report.lines.append(("MSDeformAttn op", f"{upstream.verify_op()} (equal to plain PyTorch, forward and backward)"))
        report.lines.append(("COCO evaluation", upstream.provide_fast_coco_eval()))
    except ImportError as error:
        report.problems.append(str(error))
