"""The channel layout and the subsets of the modalities."""

import pytest

from imrsf_d2.modalities import Modality, ModalitySet, subset_label

SAR = Modality("sar", 1, mean=(-8.0,), std=(3.0,), transform="db", clip=(-25, 12))
RGB = Modality("rgb", 3, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), nodata=0)
MAP = Modality("landuse", classes=9)


def test_channel_layout_by_hand():
    modalities = ModalitySet([SAR, RGB, MAP])
    assert modalities.num_bands == 5 and modalities.num_channels == 8
    assert [modalities.bands(n) for n in modalities.names] == [slice(0, 1), slice(1, 4), slice(4, 5)]
    assert [modalities.validity(n) for n in modalities.names] == [5, 6, 7]
    assert modalities.pixel_mean == [-8.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0]
    assert modalities.pixel_std == [3.0, 4.0, 5.0, 6.0, 1.0, 1.0, 1.0, 1.0]


def test_all_non_empty_subsets_largest_first():
    labels = [subset_label(s) for s in ModalitySet([SAR, RGB, MAP]).subsets()]
    assert labels == ["sar+rgb+landuse", "sar+rgb", "sar+landuse", "rgb+landuse", "sar", "rgb", "landuse"]


def test_a_subset_comes_back_in_config_order_and_empty_means_all():
    modalities = ModalitySet([SAR, RGB, MAP])
    assert modalities.check_subset(["landuse", "sar"], "here") == ("sar", "landuse")
    assert modalities.check_subset([], "here") == modalities.names


@pytest.mark.parametrize(
    "names,message",
    [
        (["lidar"], r"INPUT.X names the unknown modality 'lidar'; MODEL.IMRSF.MODALITIES has \['sar', 'rgb'\]"),
        (["sar", "sar"], "INPUT.X names the modality 'sar' twice"),
    ],
)
def test_bad_subset(names, message):
    with pytest.raises(ValueError, match=message):
        ModalitySet([SAR, RGB]).check_subset(names, "INPUT.X")
