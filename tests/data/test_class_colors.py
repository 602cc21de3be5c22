"""Colors of classes by their names."""

import pytest

from imrsf_d2.data.class_colors import class_color, class_colors
from imrsf_d2.data.class_tables import packaged_tables, read_class_table


def test_classes_of_dynamic_world_have_its_official_colors():
    rows = read_class_table("dynamic_world").rows
    assert class_colors([row.name for row in rows]) == tuple(row.color for row in rows)
    assert [class_color(row.name, 40) for row in rows] == [row.color for row in rows]


@pytest.mark.parametrize(
    "names, kind",
    [
        (("Permanent water bodies", "river", "open_water", "Sea and ocean", "flood"), "water"),
        (("Tree cover", "deciduous forest", "woodland"), "trees"),
        (("buildings", "Continuous urban fabric", "built-up", "Roof", "greenhouses"), "built"),
        (("Non-irrigated arable land", "rice fields", "cropland"), "crops"),
        (("pastures", "natural_grassland", "Rangeland"), "grass"),
        (("Bare / sparse vegetation", "BareGround", "sand"), "bare"),
        (("herbaceous wetland", "Inland marshes", "flooded vegetation"), "wetland"),
        (("not water", "no building", "Background", "other"), "background"),
        (("Road and rail networks and associated land", "streets", "Impervious surfaces"), "roads"),
        (("ice", "Glaciers and perpetual snow"), "snow"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_names_that_say_the_same_have_the_same_color(names, kind):
    assert {class_color(name, 3) for name in names} == {class_color(kind, 7)}


def test_letters_within_a_word_say_nothing():
    """Office and rice are no ice, a carpet no car park, a seat no sea: these are colors by index."""
    assert class_color("office", 2) == class_color("xyz", 2) != class_color("office", 3)
    assert class_color("seat", 0) == class_color("carpet", 0) == class_color("xyz", 0)


@pytest.mark.parametrize("table", packaged_tables())
def test_no_two_classes_of_a_map_are_alike(table):
    names = read_class_table(table).classes
    colors = class_colors(names)
    apart = [sum(abs(a - b) for a, b in zip(one, other)) for i, one in enumerate(colors) for other in colors[:i]]
    assert len(colors) == len(names) and min(apart) >= 30  # of 765


def test_as_many_classes_as_a_label_map_can_have_differ():
    assert len(set(class_colors([f"class {i}" for i in range(255)]))) == 255
    assert len(set(class_colors(["forest"] * 60))) == 60


def test_given_colors_stay_and_others_keep_away_from_them():
    water = class_color("water", 0)
    colors = class_colors(["lagoon", "water", "sea"], [water, None, [1, 2, 3]])
    assert colors[0] == water and colors[2] == (1, 2, 3) and colors[1] not in (water, (1, 2, 3))


def test_a_plain_name_stands_for_its_kind():
    fruit, trees = class_colors(["fruit trees", "trees"])
    assert trees == class_color("trees", 0) != fruit
