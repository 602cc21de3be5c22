"""tools/check_env.py exits with 0 in a complete environment, and otherwise names what is missing and the remedy."""

import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torchvision
from packaging.requirements import Requirement

from imrsf_d2.compat import environment, requirements
from tests.test_versions import declared

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_env.py"


def run_tool(prelude: str = "") -> subprocess.CompletedProcess:
    """Run the tool after `prelude`, in a fresh interpreter."""
    code = f"import runpy, sys\n{prelude}\nrunpy.run_path({str(TOOL)!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


def test_complete_environment_passes():
    result = run_tool()
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("torch", "torchvision", "detectron2", "mask2former", "GDAL", "MSDeformAttn op", "device"):
        assert name in result.stdout
    assert "equal to plain PyTorch" in result.stdout
    assert "PROBLEM" not in result.stdout


def test_missing_module_fails_with_the_remedy():
    result = run_tool("sys.modules['rasterio'] = None")
    assert result.returncode == 1
    assert "PROBLEM: rasterio" in result.stdout
    assert "make env" in result.stdout


NEEDED = [*(Requirement(text).name for text in declared("INSTALL_REQUIRES")), "detectron2", "mask2former"]


@pytest.fixture(scope="module")
def imports():
    """Distribution -> the packages that it installs, as the environment has them: it lacks nothing, and all is imported."""
    assert environment.examine().ok
    found = {name: [name] for name in ("detectron2", "mask2former")}  # under the names of others, or from sources
    for package, names in packages_distributions().items():
        for name in names:
            found.setdefault(name.lower().replace("_", "-"), []).append(package)
    return found


@pytest.mark.parametrize("name", NEEDED)
def test_each_requirement_is_missed(name, imports, monkeypatch):
    for package in imports[name]:
        monkeypatch.setitem(sys.modules, package, None)
    found = environment.examine()
    assert any(problem.startswith(name) and "is not installed" in problem for problem in found.problems)
    assert (name, "MISSING") in found.lines


def test_requirements_of_a_wheel_are_those_of_its_metadata(tmp_path, monkeypatch):
    """Beside another project's setup.py."""
    folder = tmp_path / "imrsf_d2-9.0.dist-info"
    folder.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: imrsf_d2", "Version: 9.0", "Requires-Dist: Pillow>=9.4"]
    lines += ["Requires-Dist: faster-coco-eval>=1.6,<2", 'Requires-Dist: onnx>=1; extra == "export"']
    (folder / "METADATA").write_text("\n".join(lines) + "\n")
    (tmp_path / "setup.py").write_text('INSTALL_REQUIRES = ["other"]\n')
    monkeypatch.setattr(requirements, "SETUP", tmp_path / "setup.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert requirements.required_modules() == {"pillow": "PIL", "faster-coco-eval": "faster_coco_eval"}


def test_a_package_that_nobody_installed_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(requirements, "SETUP", tmp_path / "setup.py")
    monkeypatch.setattr(requirements, "DISTRIBUTION", "imrsf_d2_of_nobody")
    assert any("imrsf_d2 is not installed" in problem for problem in environment.examine().problems)


def test_torchvision_that_does_not_fit_is_a_problem_with_a_remedy(monkeypatch):
    def nms(*args):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", nms)
    report = environment.examine()
    assert not report.ok
    assert "does not fit torch" in str(report)
    assert "a pair of the same release" in str(report)


def test_unsupported_python_is_a_problem(monkeypatch):
    monkeypatch.setattr(environment, "PYTHON_RANGE", ((3, 98), (3, 99)))
    assert any("expected 3.98 to 3.99" in problem for problem in environment.examine().problems)
