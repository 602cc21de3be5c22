"""Raster files that are whole or absent."""

import errno

import numpy as np
import pytest

from imrsf_d2.geo.writing import write_raster
from tests.inference.disks import full_disk
from tests.raster_files import write_raster_file


@pytest.mark.parametrize("room", [50, 30_000])
def test_a_full_disk_is_an_error_and_leaves_what_was_there(tmp_path, room):
    path = tmp_path / "a.tif"
    write_raster_file(path, np.zeros((4, 4), np.uint8))
    before = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (3, 128, 128), dtype=np.uint8)
    with full_disk(room), pytest.raises(OSError, match="a.tif") as error:
        write_raster(path, noise)
    assert error.value.errno == errno.EFBIG
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
