"""One input and one output for all tests that only read them."""

import pytest

from imrsf_d2.preparation.dfc2023.prepare import prepare_dfc2023
from tests.preparation.dfc2023.source_files import CROP, write_source


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Only to be read."""
    return write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def output(source, tmp_path_factory):
    """Only to be read."""
    folder = tmp_path_factory.mktemp("output") / "dfc2023"
    prepare_dfc2023(source, folder, tile_size=CROP, num_workers=1)
    return folder


@pytest.fixture
def own_source(tmp_path):
    """To be changed by a test."""
    return write_source(tmp_path / "in")
