"""What an entry of the modality list means, and its errors."""

import dataclasses
import json

import pytest

from imrsf_d2.modalities import Modality, computed_part, unmeasured

SAR = Modality("sar", 1, mean=(-8.0,), std=(3.0,), transform="db", clip=(-25, 12))
RGB = Modality("rgb", 3, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), nodata=0)
MAP = Modality("landuse", classes=9)


@pytest.mark.parametrize(
    "mapping,message",
    [
        ({"NAME": "a b"}, "'a b': NAME is 'a b', expected letters"),
        ({"CHANNELS": 1}, "has no NAME"),
        ({"NAME": "sar", "BAND": 1}, "has the unknown key 'BAND'; known keys: .*'CHANNELS'"),
        ({"NAME": "sar", "CHANNELS": 0}, "'sar': CHANNELS is 0, expected a whole number"),
        ({"NAME": "rgb", "CHANNELS": 3, "MEAN": [1.0]}, "'rgb': MEAN is a list of length 1, expected 3"),
        ({"NAME": "rgb", "CHANNELS": 1, "STD": [0.0]}, r"'rgb': STD is \[0.0\], expected positive"),
        ({"NAME": "rgb", "CHANNELS": 1, "MEAN": [float("nan")]}, r"'rgb': MEAN is \[nan\], expected finite numbers"),
        ({"NAME": "sar", "TRANSFORM": "log"}, "'sar': TRANSFORM is 'log', expected one of"),
        ({"NAME": "sar", "CLIP": [3, 1]}, r"'sar': CLIP is \[3, 1\], expected \[low, high\]"),
        ({"NAME": "sar", "CLIP": 5}, "'sar': CLIP is 5, expected a list of numbers"),
        ({"NAME": "dsm", "MEAN": 5.02}, "'dsm': MEAN is 5.02, expected a list of numbers"),
        ({"NAME": "dsm", "MEAN": None}, "'dsm': MEAN is None, expected a list of numbers"),
        ({"NAME": "dsm", "STD": None}, "'dsm': STD is None, expected a list of numbers"),
        ({"NAME": "dsm", "NODATA": "x"}, "'dsm': NODATA is 'x', expected a number"),
        ({"NAME": 3}, "modality 3: NAME is 3, expected letters"),
        ("rgb", "entry 'rgb' is not a mapping, expected e.g."),
        ({"NAME": "s2", "BANDS": 4}, "'s2': BANDS is 4, expected a list of band numbers from 1"),
        ({"NAME": "s2", "BANDS": [0]}, r"'s2': BANDS is \(0,\), expected a list of band numbers from 1"),
        ({"NAME": "s2", "BANDS": ["B4", "B3", "B4"]}, r"'s2': BANDS is \['B4', 'B3', 'B4'\], expected each band once"),
        (
            {"NAME": "s2", "CHANNELS": 4, "BANDS": [4, 3]},
            r"'s2': CHANNELS is 4, but BANDS \[4, 3\], expected 2 or no CHANNELS",
        ),
        ({"NAME": "s2", "BANDS": [4, 3], "MEAN": [1.0]}, "'s2': MEAN is a list of length 1, expected 2"),
        (
            {"NAME": "s2", "CHANNELS": 4, "DISPLAY": [1, 2]},
            r"'s2': DISPLAY is \(1, 2\), expected a list of one band or three",
        ),
        ({"NAME": "s2", "CHANNELS": 4, "DISPLAY": [5]}, r"'s2': DISPLAY is \(5,\), expected .* of \[1, 2, 3, 4\]"),
        ({"NAME": "s1", "BANDS": ["VV", "VH"], "DISPLAY": [1]}, r"'s1': DISPLAY is \(1,\), expected .* of \['VV', 'VH'\]"),
        ({"NAME": "sar", "TRANSFORM": "db", "UNIT": "W"}, "'sar': UNIT is 'W', expected dB"),
        ({"NAME": "dsm", "UNIT": 1}, "'dsm': UNIT is 1, expected a text"),
        ({"NAME": "m", "CLASSES": 5, "DISPLAY": [1]}, "'m': CLASSES is 5 together with other keys"),
        ({"NAME": "m", "CLASSES": 1}, "'m': CLASSES is 1, expected 0"),
        ({"NAME": "m", "CLASSES": 5, "MEAN": [2.0]}, "'m': CLASSES is 5 together with other keys"),
    ],
)
def test_bad_entry(mapping, message):
    with pytest.raises(ValueError, match=message):
        Modality.from_mapping(mapping)


def test_an_entry_of_a_config_becomes_a_modality():
    entry = {"NAME": "sar", "CHANNELS": 1, "MEAN": [-8.0], "STD": [3.0], "TRANSFORM": "db", "CLIP": [-25, 12]}
    assert Modality.from_mapping(entry) == SAR
    bands = {"NAME": "s2", "BANDS": ["B08", 4, 3], "UNIT": "DN", "DISPLAY": [4, 3, "B08"]}
    assert Modality.from_mapping(bands) == Modality("s2", 3, bands=("B08", 4, 3), unit="DN", display=(4, 3, "B08"))
    assert [Modality.from_mapping(bands).band_name(i) for i in range(3)] == ["B08", "band 4", "band 3"]
    assert MAP.categorical and not SAR.categorical and MAP.channels == 1


@pytest.mark.parametrize("modality", [SAR, RGB, MAP, Modality("s2", bands=("B04", 2)), Modality("c", codes={1: 0, 7: 1})])
def test_a_modality_can_be_copied_with_a_change(modality):
    copy = dataclasses.replace(modality, nodata=7)
    assert copy != modality and dataclasses.replace(copy, nodata=modality.nodata) == modality


def test_the_number_of_classes_follows_from_the_codes():
    cover = Modality.from_mapping({"NAME": "cover", "CODES": {10: 0, 20: 1, 95: 0, 0: None}})
    assert cover.classes == 2 and cover.categorical and cover.class_codes == {10: 0, 20: 1, 95: 0, 0: None}
    assert hash(cover) == hash(Modality("cover", codes={10: 0, 20: 1, 95: 0, 0: None}))
    assert Modality("cover", classes=3, codes={1: 0}).classes == 3
    assert Modality("cover", classes=3).class_codes == {0: 0, 1: 1, 2: 2}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"codes": {10: 2, 20: 0}, "classes": 2}, r"CODES is up to class 2, expected class indices below CLASSES, 2"),
        ({"codes": {10: 0}}, "CLASSES is 1, expected 0"),
        ({"codes": {}}, r"CODES is \{\}, expected a class index"),
        ({"codes": [10, 20]}, r"CODES is \[10, 20\], expected a class index"),
        ({"codes": {"a": 0}}, "CODES is .*'a'"),
        ({"codes": {1 << 25: 0, 1: 1}}, "CODES is .*33554432"),
        ({"codes": {1: -1, 2: 0}}, "CODES is "),
        ({"class_names": ("water", "trees"), "classes": 3}, "CLASS_NAMES is a list of length 2, expected 3"),
        ({"class_names": ("water", 3)}, r"CLASS_NAMES is \('water', 3\), expected a list of names"),
        (
            {"class_names": ("water", "trees"), "codes": {10: 2}},
            "CODES is up to class 2, expected class indices below CLASSES, 2",
        ),
        ({"codes": {1: 0, 2: 1}, "mean": (1.0,)}, "CLASSES is 2 together with other keys"),
    ],
)
def test_codes_that_cannot_be_meant_are_named(changes, message):
    with pytest.raises(ValueError, match=f"modality 'cover': {message}"):
        Modality("cover", **changes)


def test_maps_of_classes_need_no_statistics():
    maps = [{"NAME": "a", "CLASSES": 9}, {"NAME": "b", "CODES": {10: 0, 20: 1}}, {"NAME": "c", "CLASS_NAMES": ["x", "y"]}]
    measured = {"NAME": "d", "CHANNELS": 1, "MEAN": [1], "STD": [1]}
    assert unmeasured([*maps, measured]) == [] and unmeasured([*maps, {"NAME": "e"}, measured]) == ["e"]


@pytest.mark.parametrize(
    "modality",
    [
        Modality("dem"),
        Modality("s2", mean=(1.5, 2.0), std=(3.0, 4.0), bands=("B04", 8), clip=(0, 9), nodata=-1, display=(8,), unit="m"),
        Modality("sar", channels=2, transform="db"),
        Modality("cover", codes={10: 0, 20: 1, 0: None}, class_names=("water", "trees")),
    ],
    ids=lambda modality: modality.name,
)
def test_a_modality_survives_json(modality):
    assert Modality.from_mapping(json.loads(json.dumps(modality.to_mapping()))) == modality


@pytest.mark.parametrize("unit", ["db", "DB", "decibel", " dB"])
def test_decibels_in_another_spelling_are_refused(unit):
    """They would be averaged as plain numbers."""
    with pytest.raises(ValueError, match=f"modality 's1': UNIT is '{unit}', expected dB, spelled so"):
        Modality("s1", unit=unit)


def test_a_unit_of_decibels_is_part_of_what_results_depend_on():
    sensors = {"NAME": "s1", "MEAN": [-9.0], "STD": [4.0], "UNIT": "dB", "DISPLAY": [1]}
    assert computed_part([sensors, {"NAME": "dem", "UNIT": "m"}]) == [
        {"NAME": "s1", "MEAN": [-9.0], "STD": [4.0], "UNIT": "dB"},
        {"NAME": "dem"},
    ]
    s1, sar, dem = Modality("s1", unit="dB"), Modality("sar", transform="db", unit="dB"), Modality("dem", unit="m")
    assert [(m.in_decibels, m.stored_in_decibels) for m in (s1, sar, dem)] == [(True, True), (True, False), (False, False)]
