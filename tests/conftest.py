"""What every test shares: fixed seeds; GPU tests skipped where there is no GPU, and long ones where nobody asks."""

import json
import random

import hypothesis
import numpy as np
import pytest
import torch
from detectron2.config import get_cfg

from imrsf_d2.config import add_imrsf_config, finalize_config
from tests.raster_files import MODALITIES, write_dfc2023_files, write_raster_file
from tests.tiny import write_tiny_data

# The same examples in every run, on any machine; --hypothesis-profile=default looks for new ones.
hypothesis.settings.register_profile("imrsf", derandomize=True, database=None, deadline=None, max_examples=50)
hypothesis.settings.load_profile("imrsf")


def pytest_collection_modifyitems(config, items):
    skips = {
        "gpu": None if torch.cuda.is_available() else "needs a CUDA device, none is available",
        "long": None if "long" in config.getoption("-m") else "takes minutes, run by `make test-long`",
    }
    for item in items:
        for name, reason in skips.items():
            if reason and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def seed():
    """The same random numbers in every test, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory):
    """A DETECTRON2_DATASETS folder with a tiny synthetic DFC2023; only to be read."""
    return write_tiny_data(tmp_path_factory.mktemp("datasets"))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def write_raster():
    return write_raster_file


@pytest.fixture
def dfc2023(tmp_path):
    """The root folder of a tiny DFC2023: three tiles of training cities, two of held-out ones."""
    return write_dfc2023_files(tmp_path / "dfc2023")


@pytest.fixture
def edit_labels():
    def edit(root, change):
        path = root / "track2" / "buildings_only_train.json"
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))
        return path

    return edit


@pytest.fixture
def make_config():
    """Detectron2's config with ours; keyword `INPUT__DIHEDRAL=False` sets INPUT.DIHEDRAL before it is finalized."""

    def make(**changes):
        cfg = get_cfg()
        add_imrsf_config(cfg)
        cfg.MODEL.IMRSF.MODALITIES = MODALITIES
        cfg.INPUT.DATASET_MAPPER_NAME = "imrsf_instance"
        cfg.DATALOADER.NUM_WORKERS = 0
        cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
        cfg.SOLVER.IMS_PER_BATCH = 2
        cfg.SEED = 3
        cfg.merge_from_list([item for key, value in changes.items() for item in (key.replace("__", "."), value)])
        finalize_config(cfg)
        return cfg

    return make
