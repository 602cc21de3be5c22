"""Raw codes of label maps become class indices."""

import pickle

import numpy as np
import pytest

from imrsf_d2.data.label_codes import LabelCodes, UnknownCodesError

#: Several codes to one class, a negative code, and two that mean "not labeled".
CODES = LabelCodes.of({"background": [0], "building": [255, 7], "water": [-5]}, unlabeled=[-1, 128])


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_codes_become_classes_in_any_data_type(dtype):
    band = np.array([[0, 255, 7], [-5, -1, 128], [0, 99, 0]], dtype)
    valid = np.ones(band.shape, bool)
    valid[2, :2] = False  # what no data holds is no code, and not labeled even if it is one
    labels = CODES.apply(band, valid, "the label map a.tif")
    assert labels.dtype == np.uint8 and labels.tolist() == [[0, 1, 1], [2, 255, 255], [255, 255, 0]]


def test_unknown_codes_are_listed_with_their_shares():
    band = np.zeros((10, 400), np.int16)
    band[0, :30], band[1, 0] = 9, -9999
    with pytest.raises(UnknownCodesError) as caught:
        CODES.apply(band, np.ones(band.shape, bool), "the label map a.tif")
    assert str(caught.value) == (
        "the label map a.tif holds -9999 (under 0.1% of the pixels), 9 (0.8% of the pixels), expected -5, 0, 7, 255, or -1, "
        "128 where nothing is labeled. CODES and UNLABELED of a dataset.yaml say which numbers stand for a class and which for "
        "'not labeled'."
    )
    sent = pickle.loads(pickle.dumps(caught.value))  # from a process that reads ahead
    assert str(sent) == str(caught.value) and sent.found == caught.value.found and sent.found.counts == {-9999: 1, 9: 30}


def test_a_code_has_one_meaning():
    with pytest.raises(ValueError, match="the label code 3 stands for 'trees' and for 'water', expected one meaning"):
        LabelCodes.of({"trees": [2, 3], "water": [3]})
    with pytest.raises(ValueError, match="the label code 2 stands for 'trees' and for 'not labeled'"):
        LabelCodes.of({"trees": [2]}, unlabeled=[2])


@pytest.mark.parametrize(
    "codes, problem", [({1.5: 0}, "code 1.5 is no whole"), ({True: 0}, "True"), ({1: 256}, "stands for 256")]
)
def test_what_is_no_code_or_no_class_is_refused(codes, problem):
    with pytest.raises(ValueError, match=problem):
        LabelCodes(codes)


def test_codes_are_a_copy_in_plain_numbers():
    given = {np.int16(3): np.uint8(1)}
    codes = LabelCodes(given)
    given.clear()
    assert codes.codes == {3: 1} and [type(number) for number in (*codes.codes, *codes.codes.values())] == [int, int]
    assert LabelCodes.indices(2).codes == {0: 0, 1: 1, 255: 255}
