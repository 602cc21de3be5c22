"""The weights of the sensors in the windows of a block survive a file."""

import numpy as np
import pytest

from imrsf_d2.inference.importance import load_importance, save_importance


@pytest.mark.parametrize("windows", [[], [7, 2]])
def test_weights_are_read_back_as_they_were(tmp_path, rng, windows):
    found = {i: rng.random((3, 4, 4), dtype=np.float32) for i in windows}
    if found:
        found[2][0] = np.nan
    save_importance(tmp_path / "block.npz", found)
    back = load_importance(tmp_path / "block.npz")
    assert list(back) == sorted(windows)
    for index, beta in found.items():
        np.testing.assert_array_equal(back[index], beta)
