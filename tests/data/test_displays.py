"""Which bands figures show, and what their headings call them."""

import pytest

from imrsf_d2.data.displays import display_of, true_color_bands
from imrsf_d2.modalities import Modality
from imrsf_d2.visualization.views import modality_title

TWELVE = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


@pytest.mark.parametrize(
    "modality, bands, title",
    [
        (Modality("s1", 2, transform="db"), (0,), "S1 VV"),
        (Modality("s1", bands=(2, 1)), (0,), "S1 band 2"),
        (Modality("s1", bands=("VH", "VV")), (1,), "S1 VV"),
        (Modality("radar", bands=("HH", "HV", "VH", "VV")), (3,), "RADAR VV"),
        (Modality("sar", 4), (0,), "SAR band 1"),
        (Modality("s2", 4), (2, 1, 0), "S2 true color (bands 3, 2, 1)"),
        (Modality("s2", 12), (3, 2, 1), "S2 true color (bands 4, 3, 2)"),
        (Modality("sentinel2_l1c", 13), (3, 2, 1), "SENTINEL2_L1C true color (bands 4, 3, 2)"),
        (Modality("s2", bands=TWELVE), (3, 2, 1), "S2 true color"),
        (Modality("s2", bands=("b2", "b3", "b4")), (2, 1, 0), "S2 true color"),
        (Modality("s2", bands=("B08", "B04", "B03")), (0, 1, 2), "S2 B08, B04, B03"),
        (Modality("s2", bands=(4, 3, 2)), (0, 1, 2), "S2 bands 4, 3, 2"),
        (Modality("s2", 12, display=(8, 4, 3)), (7, 3, 2), "S2 bands 8, 4, 3"),
        (Modality("s2", bands=TWELVE, display=("B8A",)), (8,), "S2 B8A"),
        (Modality("s2", 2), (0,), "S2 band 1"),
        (Modality("aerial", bands=("Infrared", "Red", "Green", "Blue")), (1, 2, 3), "AERIAL true color"),
        (Modality("rgb", 3), (0, 1, 2), "RGB"),
        (Modality("bgr", 3, display=(3, 2, 1)), (2, 1, 0), "BGR bands 3, 2, 1"),
        (Modality("hyper", 6), (0, 1, 2), "HYPER bands 1, 2, 3"),
        (Modality("dsm", 1), (0,), "DSM"),
        (Modality("dnw", classes=9), (0,), "DNW"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_shown_and_what_it_is_called(modality, bands, title):
    assert display_of(modality).bands == bands and modality_title(modality) == title


@pytest.mark.parametrize(
    "names, expected",
    [
        (["B2", "B3", "B4", "B8"], (2, 1, 0)),
        (["B1 (Coastal)", "B2 (Blue)", "B3 (Green)", "B4 (Red)", "B5 (Red Edge)"], (3, 2, 1)),
        (["VV", "VH"], None),
        (["red", "green"], None),
        (["red", "red", "green", "blue"], None),  # which of the two is not clear
        ([None, None, None], None),
    ],
    ids=str,
)
def test_red_green_and_blue_by_name(names, expected):
    assert true_color_bands(names) == expected
