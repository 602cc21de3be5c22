"""Keys of a config by their full names."""

import pytest

from imrsf_d2.utils.keys import flat_keys, is_part


def test_every_value_has_its_full_name_in_order():
    tree = {"MODEL": {"DEVICE": "cpu", "IMRSF": {"DEPTH": 2, "SIDES": [1, 2]}}, "SEED": 3, "EMPTY": {}}
    expected = [("MODEL.DEVICE", "cpu"), ("MODEL.IMRSF.DEPTH", 2), ("MODEL.IMRSF.SIDES", [1, 2]), ("SEED", 3)]
    assert list(flat_keys(tree)) == expected


@pytest.mark.parametrize(
    "key, found",
    [
        ("MODEL", True),
        ("MODEL.DEVICE", True),
        ("SOLVER.AMP.ENABLED", True),
        ("MODELS", False),
        ("SOLVER", False),
        ("A", False),
    ],
)
def test_a_key_is_part_of_what_has_its_name_or_its_first_names(key, found):
    assert is_part(key, ("MODEL", "SOLVER.AMP")) == found and not is_part(key, ())
