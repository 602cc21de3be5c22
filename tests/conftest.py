"""What every test shares: fixed seeds, and GPU tests skipped where there is no GPU."""

import random

import hypothesis
import numpy as np
import pytest
import torch

from tests.tiny import write_tiny_data

# The same examples in every run, on any machine; --hypothesis-profile=default looks for new ones.
hypothesis.settings.register_profile("imrsf", derandomize=True, database=None, deadline=None, max_examples=50)
hypothesis.settings.load_profile("imrsf")


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device, none is available")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


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
