"""Label maps that do not hold the classes of the model."""

import numpy as np
import pytest

from imrsf_d2.data.label_checks import (
    LOOKED_AT,
    LabelCounts,
    check_instances,
    check_label_maps,
    check_labels,
    count_labels,
    refuse_one_class,
    spread_evenly,
)
from imrsf_d2.data.label_codes import LabelCodes, UnknownCodesError
from imrsf_d2.geo.codes import CodeCounts

LANDS = ["background", "building"]


def maps(folder, write_raster, *arrays):
    """Dataset dicts of label maps of 2 x 2 px."""
    return [
        {
            "file_name": f"{number}.tif",
            "height": 2,
            "width": 2,
            "image_id": number,
            "sem_seg_file_name": str(write_raster(folder / f"labels_{number}.tif", np.array(array, np.uint8).reshape(2, 2))),
        }
        for number, array in enumerate(arrays)
    ]


def test_classes_and_unlabeled_pixels_are_counted(tmp_path, write_raster):
    found = count_labels(maps(tmp_path, write_raster, [0, 0, 1, 255], [2, 0, 255, 255]), 3)
    assert found.pixels.tolist() == [3, 1, 1] and found.unlabeled == 3 and (found.looked, found.total) == (2, 2)


def test_all_unknown_codes_of_all_label_maps_are_one_error(tmp_path, write_raster):
    samples = maps(tmp_path, write_raster, [0, 9, 1, 1], [0, 0, 1, 1], [9, 200, 200, 200])
    with pytest.raises(UnknownCodesError) as error:
        count_labels(samples, 2)
    assert error.value.found == CodeCounts({9: 2, 200: 3}, 12)
    assert str(error.value) == (
        f"2 of the 3 label maps that were looked at, e.g. {samples[0]['sem_seg_file_name']}, hold 9 (16.7% of the pixels), "
        "200 (25.0% of the pixels), expected class indices from 0 to 1, or 255 where nothing is labeled. CODES and UNLABELED "
        "of a dataset.yaml say which numbers stand for a class and which for 'not labeled'."
    )
    codes = LabelCodes.of({"land": [0, 1], "water": [200]}, unlabeled=[9])
    found = count_labels([{**sample, "sem_seg_codes": codes} for sample in samples], 2)
    assert found.pixels.tolist() == [7, 3] and found.unlabeled == 2


def test_no_more_than_two_hundred_are_looked_at_from_first_to_last():
    samples = [{"image_id": number} for number in range(1000)]
    assert [sample["image_id"] for sample in spread_evenly(samples)] == list(range(0, 1000, 5)) and LOOKED_AT == 200
    assert spread_evenly(samples[:3]) == samples[:3] and spread_evenly([]) == []


def test_all_are_looked_at_where_only_that_can_tell(tmp_path, write_raster, monkeypatch):
    monkeypatch.setattr("imrsf_d2.data.label_checks.spread_evenly", lambda samples: samples[:2])
    zero, mixed = [0] * 4, [0, 0, 0, 1]
    found = count_labels(maps(tmp_path, write_raster, zero, zero, zero, mixed, zero), 2, all_if_one=True)
    assert found.pixels.tolist() == [15, 1] and found.looked == 4  # the last one could not change anything
    assert count_labels(maps(tmp_path, write_raster, zero, zero, zero, mixed), 2).looked == 2
    assert count_labels(maps(tmp_path, write_raster, mixed, zero, zero, zero), 2, all_if_one=True).looked == 2
    found = count_labels(maps(tmp_path, write_raster, *[zero] * 5), 2, all_if_one=True)
    assert (found.looked, found.total) == (5, 5)


def test_masks_of_0_and_255_are_recognized(caplog):
    check_label_maps("mine_train", LabelCounts(np.array([30, 0]), 10, 5, 8), LANDS)
    (message,) = caplog.messages
    assert message == (
        "The labels of mine_train: in the 5 of 8 label maps that were looked at, no pixel is labeled 'building'. "
        "Shares of the labeled pixels: background 100.0%, building 0.0%; not labeled: 25.0% of all pixels. These "
        "look like masks of 0/255, where 255 means 'not labeled' unless told otherwise: CODES [255] of a class in a "
        "dataset.yaml says that it is this class; or write 'building' as 1."
    )


@pytest.mark.parametrize(
    "nodata, values, expected",
    [
        (
            0,
            [0, 0, 1, 2],
            "0 is the no-data tag of label maps and stands for 'water', too, so such pixels count as not labeled",
        ),
        (2, [2, 0, 1, 1], "2 is the no-data tag of label maps and stands for 'grass', too"),
        (255, [255, 1, 1, 2], ""),  # there simply is no water
        (None, [255, 1, 1, 2], ""),
        (255, [255, 0, 0, 0], ""),  # no mask of 0/255: the file itself says what 255 is
        (None, [255, 0, 0, 0], "These look like masks of 0/255"),
    ],
)
def test_a_tag_is_blamed_only_if_the_files_have_it(tmp_path, write_raster, caplog, nodata, values, expected):
    samples = maps(tmp_path, write_raster, values)
    labels = np.array(values, np.uint8).reshape(2, 2)
    write_raster(tmp_path / "labels_0.tif", labels, **({} if nodata is None else {"nodata": nodata}))
    check_label_maps("mine", count_labels(samples, 3), ["water", "trees", "grass"])
    (message,) = caplog.messages
    hint = message.partition(" of all pixels.")[2].strip()
    assert hint.startswith(expected) if expected else hint == ""


@pytest.mark.parametrize(
    "pixels, unlabeled, expected",
    [
        ([1, 4], 95, "in the 5 label maps, 95.0% of the pixels are not labeled."),
        ([0, 0], 7, "no pixel is labeled 'background', 'building' and 100.0% of the pixels are not labeled."),
        ([0, 9], 1, "no pixel is labeled 'background'."),
    ],
)
def test_what_is_rare_is_said_without_a_wrong_guess(caplog, pixels, unlabeled, expected):
    check_label_maps("mine", LabelCounts(np.array(pixels), unlabeled, 5, 5), LANDS)
    assert expected in caplog.text and "0/255" not in caplog.text


def test_labels_of_all_classes_are_no_news(caplog):
    check_label_maps("mine", LabelCounts(np.array([1, 5]), 94, 5, 5), LANDS)
    check_instances("mine", [{"annotations": [{"category_id": 0}]}], ["building"])
    assert not caplog.messages


def test_a_constant_truth_is_refused_unless_told_otherwise():
    one = np.array([12, 0])
    with pytest.raises(
        ValueError,
        match="all labeled pixels of 'mine' are of the class 'background', expected at least "
        "two of background, building: .* would score mIoU 100. These look like masks of 0/255, where .* CODES \\[255\\] of a class .* "
        "write 'building' as 1. TEST.ALLOW_SINGLE_CLASS True scores it nevertheless",
    ):
        refuse_one_class("mine", one, True, LANDS, allow=False)
    with pytest.raises(ValueError, match=r"mIoU 100\. TEST.ALLOW_SINGLE_CLASS"):
        refuse_one_class("mine", one, False, LANDS, allow=False)
    refuse_one_class("mine", one, True, LANDS, allow=True)
    with pytest.raises(
        ValueError, match="are of the class 'land', expected at least two classes, of which this may be one: to "
    ):
        refuse_one_class("mine", np.array([12]), True, ["land"], allow=False)
    refuse_one_class("mine", np.array([12, 1]), True, LANDS, allow=False)
    with pytest.raises(ValueError, match="no pixel of 'mine' is labeled"):
        refuse_one_class("mine", np.array([0, 0]), True, LANDS, allow=True)


def test_classes_without_an_instance_are_named(caplog):
    samples = [{"annotations": [{"category_id": 1}, {"category_id": 1}, {"category_id": 0, "iscrowd": 1}]}, {}]
    check_instances("mine", samples, ["house", "shed"])
    assert caplog.messages == [
        "The labels of mine: no annotation is labeled 'house'; those of 2 images are house 0, shed 2."
    ]


def test_a_dataset_without_labels_cannot_be_scored_on():
    check_labels("mine", [{}, {"annotations": [1]}])
    check_labels("mine", [{}, {"sem_seg_file_name": "a.tif"}])
    with pytest.raises(ValueError, match="none of the 2 images of 'mine' has a label, .* there is nothing to score"):
        check_labels("mine", [{}, {"annotations": []}])
