"""Registered datasets are loaded once per run, and again whenever they may hold something else."""

import os

import pytest
from detectron2.data import DatasetCatalog

from imrsf_d2.data.dataset_memory import find_file, load_once

NAME = "remembered"


@pytest.fixture
def loads():
    """How often each version of the dataset was loaded."""
    made = []
    yield made
    DatasetCatalog.pop(NAME, None)


def register(loads, version):
    DatasetCatalog.pop(NAME, None)
    DatasetCatalog.register(NAME, lambda: loads.append(version) or [{"version": version, "modalities": {}}])


def test_what_a_run_has_loaded_is_repeated_until_the_next(loads):
    register(loads, 1)
    expected = [{"version": 1, "modalities": {}}]
    assert load_once([NAME, NAME]) == {NAME: expected} and DatasetCatalog.get(NAME) == expected and loads == [1]
    assert load_once([NAME]) == {NAME: expected} and DatasetCatalog.get(NAME) == expected and loads == [1, 1]


def test_a_dataset_registered_anew_is_loaded_anew(loads):
    register(loads, 1)
    load_once([NAME])
    register(loads, 2)
    assert DatasetCatalog.get(NAME)[0]["version"] == 2 and loads == [1, 2]


def test_another_root_is_loaded_anew(loads, monkeypatch, tmp_path):
    register(loads, 1)
    load_once([NAME])
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    DatasetCatalog.get(NAME)
    monkeypatch.chdir(tmp_path)
    DatasetCatalog.get(NAME), DatasetCatalog.get(NAME)
    assert loads == [1, 1, 1]


def test_whoever_changes_a_sample_changes_only_his_own(loads):
    register(loads, 1)
    load_once([NAME])[NAME][0]["modalities"]["rgb"] = "gone.tif"
    DatasetCatalog.get(NAME)[0]["modalities"]["sar"] = "gone.tif"
    assert DatasetCatalog.get(NAME)[0]["modalities"] == {}


def test_a_missing_file_is_looked_for_again_and_links_are_one_file(tmp_path):
    path, link = tmp_path / "a.tif", tmp_path / "b.tif"
    assert find_file(path) is None
    path.touch()
    os.symlink(path, link)
    assert find_file(path) == find_file(link) is not None
    path.unlink()
    assert find_file(path) is not None
    load_once([])
    assert find_file(path) is None
