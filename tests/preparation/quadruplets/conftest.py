"""Exports of two cities, and the command that makes tiles of them."""

import importlib.util

import pytest

from tests.preparation.quadruplets.scene_files import write_city
from tests.tiny import REPOSITORY


@pytest.fixture
def exports(tmp_path):
    write_city(tmp_path / "in", "Aix_en_Provence")
    write_city(tmp_path / "in", "Nice", left=340_000.0, seed=1, ending=".shp")
    (tmp_path / "in" / "Nice" / "DNW.TIF").unlink()
    return tmp_path / "in"


@pytest.fixture
def prepare(exports, tmp_path):
    """Runs the tool in this process; returns its exit code."""
    spec = importlib.util.spec_from_file_location("prepare_quadruplets", REPOSITORY / "datasets/prepare_quadruplets.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(*arguments, output="out"):
        workers = () if "--num-workers" in arguments else ("--num-workers", "1")
        return tool.main(
            ["--input", str(exports), "--output", str(tmp_path / output), "--tile-size", "64", *workers, *arguments]
        )

    return run
