"""Names and colors of classes, from datasets that have as many."""

from detectron2.data import Metadata

from imrsf_d2.inference.class_names import ClassNames

BUILDINGS = Metadata(name="buildings", thing_classes=["house", "hall"], thing_colors=[(255, 0, 0), (0, 0, 9)])
COVER = Metadata(name="cover", stuff_classes=["water", "trees"], stuff_colors=[[0, 0, 255], [0, 128, 0]])


def test_the_first_dataset_with_as_many_classes_of_the_kind_names_them():
    one = Metadata(name="one", thing_classes=["one"])
    assert ClassNames.of([one, COVER, BUILDINGS], 2, instances=True) == ClassNames(
        ("house", "hall"), ((255, 0, 0), (0, 0, 9))
    )
    assert ClassNames.of([BUILDINGS, COVER], 2, instances=False) == ClassNames(
        ("water", "trees"), ((0, 0, 255), (0, 128, 0))
    )


def test_without_such_a_dataset_classes_have_numbers():
    unknown = ClassNames.of([BUILDINGS, Metadata(name="not registered")], 12, instances=True)
    assert unknown.names[:2] == ("class 0", "class 1") and len(unknown.names) == 12


def test_colors_that_are_missing_are_made_up_and_differ():
    colors = ClassNames(tuple("abcdefghijklmnop"), ((0, 0, 0),)).colors
    assert len(set(colors)) == 16 and all(0 <= value < 256 for color in colors for value in color)
