"""Files of one size in different places are never stacked in silence."""

from dataclasses import replace

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform

from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.data.places import check_annotated, check_overlap, check_places
from imrsf_d2.data.reading import SampleReader
from imrsf_d2.geo.grids import Grid
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError

MODALITIES = ModalitySet([Modality("rgb", 3), Modality("dsm", 1)])
UTM = "EPSG:32631"


def place(left, pixel_m=10, crs=UTM):
    return {"crs": crs, "transform": from_origin(left, 5_000_000, pixel_m, pixel_m)}


@pytest.fixture
def sample(tmp_path, write_raster):
    """A function that writes a sample of 8 x 8 px whose sensors (and labels, if asked for) lie where it is told."""

    def write(rgb, dsm, labels=None, name="a"):
        files = {
            "rgb": write_raster(tmp_path / f"{name}_rgb.tif", np.full((3, 8, 8), 7, np.uint8), **rgb),
            "dsm": write_raster(tmp_path / f"{name}_dsm.tif", np.full((8, 8), 7, np.float32), **dsm),
        }
        sample = {
            "file_name": str(files["rgb"]),
            "height": 8,
            "width": 8,
            "image_id": name,
            "modalities": {sensor: str(path) for sensor, path in files.items()},
        }
        if labels is not None:
            path = write_raster(tmp_path / f"{name}_labels.tif", np.zeros((8, 8), np.uint8), **labels)
            sample["sem_seg_file_name"] = str(path)
        return sample

    return write


def read(sample, **options):
    reader = SampleReader(MODALITIES, MODALITIES.names, **{"tolerant": True, "align": False} | options)
    return reader.read(sample, ["rgb", "dsm"])


@pytest.mark.parametrize(
    "dsm, found",
    [
        (place(500_080), r"a corner at \(500080, 5000000\) and pixels of 10 x 10 in EPSG:32631"),
        (place(500_000, pixel_m=20), "pixels of 20 x 20 in EPSG:32631"),
        (place(500_000, crs="EPSG:32632"), "in EPSG:32632"),
    ],
)
def test_sensors_in_different_places_are_an_error_with_both_files_and_the_cure(sample, dsm, found):
    with pytest.raises(
        ValueError,
        match=rf"image 'a': 'dsm' \(.*a_dsm\.tif\) lies elsewhere than 'rgb' \(.*a_rgb\.tif\): "
        rf".*{found}, expected a corner at \(500000, 5000000\).*INPUT\.ALIGN True.*"
        r"INPUT\.IGNORE_PLACES True",
    ):
        read(sample(place(500_000), dsm))


@pytest.mark.parametrize(
    "dsm", [place(500_000), place(500_000.9), {}, {"crs": UTM}], ids=["same", "0.09 px", "none", "no place"]
)
def test_one_place_or_an_unknown_one_is_accepted(sample, dsm):
    assert list(read(sample(place(500_000), dsm))) == ["rgb", "dsm"]


def test_more_than_a_tenth_of_a_pixel_is_another_place(sample):
    with pytest.raises(ValueError, match="lies elsewhere"):
        read(sample(place(500_000), place(500_001.1)))


def test_places_are_ignored_on_request_and_resampled_with_align(sample):
    # A meter of a column's ten.
    shifted = sample(place(500_000), place(500_040))
    assert read(shifted, ignore_places=True)["dsm"][1].all()
    assert read(shifted, align=True)["dsm"][1].sum(axis=1).tolist() == [4] * 8


@pytest.mark.parametrize("is_train", [True, False])
def test_the_mapper_looks_unless_the_config_says_otherwise(make_config, sample, is_train):
    changes = {"INPUT__MODALITY_DROPOUT__ENABLED": False}
    shifted = sample(place(500_000), place(500_040))
    with pytest.raises(ValueError, match="'dsm' .* lies elsewhere than 'rgb'"):
        build_mapper(make_config(**changes), is_train)(shifted)
    assert build_mapper(make_config(**changes, INPUT__IGNORE_PLACES=True), is_train)(shifted)["modalities"] == ("rgb", "dsm")


def test_labels_in_another_place_are_found_from_headers_and_counted(sample):
    good, north = place(500_000), place(500_000) | {"transform": from_origin(500_000, 5_000_080, 10, 10)}
    samples = [
        sample(good, good, good, "a"),
        sample(good, good, north, "b"),
        sample(good, north, None, "c"),
        sample(good, {}, good, "d"),
    ]
    check_places([samples[0], samples[3]], ["rgb", "dsm"])
    with pytest.raises(ValueError, match=r"image 'b': 'rgb' .* than 'labels' \(.*b_labels\.tif\).* 2 of the 4 images"):
        check_places(samples, ["rgb", "dsm"])
    check_places([samples[2]], ["rgb"])  # what is not used may lie anywhere


def test_a_file_without_a_header_is_left_to_the_reader(sample, tmp_path):
    broken = sample(place(500_000), place(500_000))
    (tmp_path / "a_dsm.tif").write_bytes(b"II*\0")
    check_places([broken], ["rgb", "dsm"])


PLACE = Grid(8, 8, CRS.from_epsg(32631), Affine(10, 0, 5e5, 0, -10, 5e6))


@pytest.mark.parametrize("crs", ["EPSG:25831", "EPSG:32631+5773"])
def test_another_datum_of_one_place_or_heights_beside_it_are_no_other_place(crs):
    other = replace(PLACE, crs=CRS.from_user_input(crs))
    assert other.crs != PLACE.crs and PLACE.equals(other) and other.equals(PLACE)
    moved = replace(other, transform=Affine(10, 0, 5e5 + 2, 0, -10, 5e6))  # by a fifth of a pixel
    assert not PLACE.equals(moved)


def test_outlines_meet_or_do_not():
    def grid(left, epsg=32631, pixel=10.0, top=5e6):
        return Grid(8, 8, CRS.from_epsg(epsg), Affine(pixel, 0, left, 0, -pixel, top))

    assert PLACE.meets(grid(5e5 + 79)) and PLACE.meets(grid(5e5 - 79)) and PLACE.meets(grid(4e5, pixel=1e5, top=5.1e6))
    assert not PLACE.meets(grid(5e5 + 81)) and not PLACE.meets(grid(5e5, top=5e6 - 81))
    degrees = transform(PLACE.crs, CRS.from_epsg(4326), [5e5], [5e6])
    around = Grid(4, 4, CRS.from_epsg(4326), Affine(0.001, 0, degrees[0][0] - 0.002, 0, -0.001, degrees[1][0] + 0.002))
    assert (
        PLACE.meets(around)
        and around.meets(PLACE)
        and not PLACE.meets(replace(around, transform=Affine.translation(1, 0) * around.transform))
    )
    fiji = Grid(2, 2, CRS.from_epsg(4326), Affine(0.1, 0, 179.9, 0, -0.1, -16))
    (x,), (y,) = transform(fiji.crs, CRS.from_epsg(32701), [180.05], [-16.05])
    assert fiji.meets(Grid(8, 8, CRS.from_epsg(32701), Affine(10, 0, x, 0, -10, y)))


def write_two(folder, write_raster, shift):
    """Two samples of a label map and a sensor each; the second's sensor lies elsewhere."""
    samples = []
    for number, left in enumerate((0, shift)):
        paths = {
            name: str(
                write_raster(
                    folder / f"{name}{number}.tif",
                    np.ones((8, 8), np.uint8),
                    crs=PLACE.crs,
                    transform=Affine.translation(by, 0) * PLACE.transform,
                )
            )
            for name, by in (("labels", 0), ("s1", left))
        }
        samples.append(
            {
                "image_id": number,
                "height": 8,
                "width": 8,
                "file_name": paths["s1"],
                "sem_seg_file_name": paths["labels"],
                "modalities": {"s1": paths["s1"]},
            }
        )
    return samples


def test_sensors_to_be_resampled_must_show_something_of_their_images_ground(tmp_path, write_raster, caplog):
    samples = write_two(tmp_path, write_raster, 1e5)
    grid_of = SampleReader(ModalitySet([Modality("s1", 1)]), ["s1"], tolerant=True, align=True).grid
    check_overlap(samples[:1], ["s1"], grid_of)
    assert not caplog.messages
    check_overlap(samples, ["s1"], grid_of)
    assert caplog.messages[0].startswith(
        "1 of the 2 files of 's1' that were looked at show nothing of their images' ground: "
    )
    with pytest.raises(InputError, match="1 of the 1 files of 's1' .* With INPUT.ALIGN this sensor would be missing"):
        check_overlap(samples[1:], ["s1"], grid_of)


def test_a_label_map_elsewhere_is_noticed_when_its_sample_is_read(tmp_path, write_raster):
    good, bad = write_two(tmp_path, write_raster, 100)
    reader = SampleReader(ModalitySet([Modality("s1", 1)]), ["s1"], tolerant=True, align=False)
    assert "s1" in reader.read(good, ["s1"])
    with pytest.raises(InputError, match="'s1' .* lies elsewhere than 'labels'"):
        reader.read(bad, ["s1"])


def test_outlines_that_may_be_drawn_on_either_of_two_sensors_are_named(sample, caplog):
    here, there = place(500_000), place(500_050)
    outlines = {"annotations": [{"segmentation": [[1, 1, 5, 1, 5, 5]], "category_id": 0}]}
    together = sample(here, here, name="b") | outlines
    labeled, unlabeled = sample(here, there, here, name="c") | outlines, sample(here, there, name="d")
    check_annotated([together, labeled, unlabeled], MODALITIES.names)
    assert not caplog.messages
    apart = sample(here, there) | outlines
    check_annotated([together, apart], MODALITIES.names)
    (message,) = caplog.messages
    assert message.startswith(
        "1 of the 2 images that were looked at have sensors of the annotations' size in different places: in 'a'"
    )
    assert "'rgb' has a corner at (500000, 5000000)" in message and "'dsm' a corner at (500050, 5000000)" in message
