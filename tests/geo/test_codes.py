"""Codes of any data type become class indices; what is none of them is counted."""

import numpy as np
import pytest

from imrsf_d2.geo.codes import NO_CLASS, CodeCounts, look_up

SMALL = {10: 0, 20: 1, 95: 2, 100: 1}
#: Too far apart for a table.
FAR = {**SMALL, -9999999: 3, 2**31 - 1: 4}


@pytest.mark.parametrize("codes", [SMALL, FAR, {}], ids=["near", "far", "none"])
@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
)
def test_each_value_becomes_what_a_dictionary_says(dtype, codes):
    kind = np.dtype(dtype)
    wanted = [*FAR, *(code + step for code in SMALL for step in (-1, 1)), 0, 255]
    if kind.kind == "f":
        # 2**31 - 1 is no number of float32: it becomes 2**31, which is another code.
        wanted += [10.5, 19.999, np.nan, np.inf, -np.inf, 1e30, 2**63]
        values = np.array(wanted, kind)
    else:
        limits = np.iinfo(kind)
        values = np.array([v for v in [*wanted, limits.min, limits.max] if limits.min <= v <= limits.max], kind)
    expected = [codes.get(value, NO_CLASS) for value in values.tolist()]
    got = look_up(values.reshape(1, -1), codes)
    assert got.dtype == np.int32 and got.tolist() == [expected]


def test_codes_are_counted_over_several_rasters():
    first = CodeCounts.of(np.array([3.0, np.nan, 3.0]), 100)
    total = CodeCounts.total([first, CodeCounts.of(np.array([3, 9]), 50), CodeCounts.of(np.array([np.nan]), 50)])
    assert total.pixels == 200 and str(total) == ("3 (1.5% of the pixels), nan (1.0% of the pixels), 9 (0.5% of the pixels)")


def test_measurements_do_not_make_an_endless_message():
    text = str(CodeCounts.of(np.arange(1000) / 7, 1000))
    assert text.startswith("0 (0.1% of the pixels), 0.1428571429 (0.1%") and text.endswith(" and 950 more")
