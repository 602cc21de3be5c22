"""tools/check_env.py exits with 0 in a complete environment, and otherwise names what is missing and the remedy."""

import subprocess
import sys
from pathlib import Path

import torchvision

from imrsf_d2.compat import environment

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
