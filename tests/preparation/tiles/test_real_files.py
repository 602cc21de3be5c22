"""Three places in three UTM zones, whose origins are no multiples of a pixel, with one command."""

import numpy as np
import rasterio
from rasterio.features import shapes

from imrsf_d2.cli import main
from imrsf_d2.data.class_tables import read_class_table
from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.data.datasets.folder import load_folder
from imrsf_d2.data.labels import semantic_truth
from tests.preparation.tiles.places import write_polygons
from tests.real_files import TERRAMESH, needs_terramesh

FOLDERS = {"s2": "S2L2A", "s1": "S1RTC", "dem": "DEM"}
OPTIONS = ("--task", "semantic", "--classes", "terramesh", "--split", "0.7", "--num-workers", "1")


def prepare(output, *options):
    sensors = [text for name, folder in FOLDERS.items() for text in ("--modality", f"{name}={TERRAMESH / folder}")]
    assert main(["prepare", "tiles", *sensors, *OPTIONS, "--output", str(output), *options]) == 0
    file = read_dataset_file(output / "dataset.yaml")
    samples = load_folder(file, "train") + load_folder(file, "val")
    return file, {sample["image_id"]: sample for sample in samples}


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.crs, file.transform


@needs_terramesh
def test_tiles_of_real_files_are_their_pixels(tmp_path):
    file, samples = prepare(tmp_path, "--labels", str(TERRAMESH / "LULC"), "--tile", "112", "--unit", "dem=m")
    assert len(samples) == 12 and [entry.get("UNIT") for entry in file.entries] == [None, "dB", "m"]
    # All bands of the radar and of the heights are called "bands", which tells none from another.
    assert not any("BANDS" in entry for entry in file.entries)
    codes = read_class_table("terramesh").label_codes()
    for name, sample in samples.items():
        place, row, column = name.rsplit("_", 2)
        part = np.s_[..., 112 * int(row) : 112 * int(row) + 112, 112 * int(column) : 112 * int(column) + 112]
        for sensor, folder in FOLDERS.items():
            whole, crs, _ = read(TERRAMESH / folder / f"{place}.tif")
            found, own_crs, _ = read(sample["modalities"][sensor])
            assert found.dtype == whole.dtype and own_crs == crs and np.array_equal(found, whole[part])
        land_cover = read(TERRAMESH / "LULC" / f"{place}.tif")[0][0]
        assert np.array_equal(semantic_truth(sample), codes.apply(land_cover, land_cover >= 0, "")[part])


@needs_terramesh
def test_polygons_in_degrees_over_three_zones_are_the_rasters_they_were_traced_from(tmp_path):
    outlines, values, systems = [], [], []
    for path in sorted((TERRAMESH / "LULC").glob("*.tif")):
        (land_cover,), crs, transform = read(path)
        for outline, value in shapes(land_cover, transform=transform):
            outlines.append(outline)
            values.append(int(value))
            systems.append(crs)
    labels = write_polygons(tmp_path / "cover.geojson", outlines, crs=systems, cover=values)
    _, samples = prepare(
        tmp_path / "out", "--labels", labels, "--class-column", "cover", "--background", "none", "--tile", "224"
    )
    codes = read_class_table("terramesh").label_codes()
    assert len(samples) == 3
    for name, sample in samples.items():
        land_cover = read(TERRAMESH / "LULC" / f"{name[:-10]}.tif")[0][0]
        assert np.array_equal(semantic_truth(sample), codes.apply(land_cover, land_cover >= 0, ""))
