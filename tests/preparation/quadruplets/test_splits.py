"""Which cities are held out."""

import pytest

from imrsf_d2.preparation.quadruplets.splits import VAL_SHARE, choose_val_cities, unseen_classes


def test_classes_that_only_held_out_cities_have():
    pixels = {"A": {0: 5, 1: 0, 255: 9}, "B": {0: 1, 1: 7, 2: 3}, "C": {2: 4}}
    found = unseen_classes(pixels, ["B"], ["sea", "ice", "land"])
    assert len(found) == 1 and found[0].startswith("B: its class 'ice' (7 px) occurs in no training city")
    assert not unseen_classes(pixels, ["A"], ["sea", "ice", "land"])
    assert [w[:17] for w in unseen_classes(pixels, ["B", "C"], ["sea", "ice", "land"])] == [
        "B: its class 'ice",
        "B: its class 'lan",
        "C: its class 'lan",
    ]
    assert not unseen_classes(pixels, ["A", "B", "C"], ["sea", "ice", "land"])


def test_a_city_to_hold_out_must_have_tiles():
    assert choose_val_cities({"A": 1, "B": 1}, ["B"]) == ["B"] and choose_val_cities({"A": 1}, []) == []
    with pytest.raises(ValueError, match="--val-cities names 'C', of which no tile is left"):
        choose_val_cities({"A": 1, "B": 1}, ["B", "C"])


@pytest.mark.parametrize(
    "tiles",
    [
        {"A": 1, "B": 1},
        {"A": 90, "B": 10},
        dict.fromkeys("ABCDEFGHIJKL", 100),
        {"Paris": 900, "Lyon": 300, "Nice": 100, "Metz": 80, "Brest": 40, "Arles": 20},
    ],
)
def test_about_an_eighth_is_held_out_in_whole_cities(tiles):
    held = choose_val_cities(tiles)
    assert 0 < len(held) < len(tiles)
    assert choose_val_cities(dict(reversed(tiles.items()))) == held  # from names and sizes, not from an order
    share = sum(tiles[city] for city in held) / sum(tiles.values())
    assert VAL_SHARE <= share <= 1.5 * VAL_SHARE or held == [min(tiles, key=tiles.get)] or len(tiles) == 2
