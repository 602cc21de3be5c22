"""Real tiles through all commands as they are, by a dataset.yaml of a dozen lines that lies elsewhere."""

import json

import numpy as np
import pytest
import rasterio
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.commands import check, predict, statistics, subsets, train, visualize
from imrsf_d2.data.datasets.folder import register_folder
from imrsf_d2.data.labels import semantic_truth
from tests.real_files import TERRAMESH, needs_terramesh
from tests.tiny import OVERRIDES

TRAIN, VAL = ("637U_59R_1_3", "38D_378R_2_3"), "433D_629L_3_1"
DATASET = f"""
TASK: semantic
ROOT: {TERRAMESH}
MODALITIES:
  - {{NAME: s1, CHANNELS: 2, UNIT: dB, FILES: "S1RTC/{{tile}}.tif"}}
  - {{NAME: s2, CHANNELS: 12, DISPLAY: [4, 3, 2], FILES: "S2L2A/{{tile}}.tif"}}
  - {{NAME: dem, UNIT: m, FILES: "DEM/{{tile}}.tif"}}
LABELS: "LULC/{{tile}}.tif"
CLASSES: terramesh
TILE_SIZE: [224, 224]
SPLITS: {{train: [{", ".join(TRAIN)}], val: [{VAL}]}}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/dataset.yaml").write_text(DATASET)
    return tmp_path / "real"


def raster(folder, tile):
    with rasterio.open(TERRAMESH / folder / f"{tile}.tif") as file:
        return file.read().astype(np.float64)


@needs_terramesh
def test_codes_become_classes_in_the_order_of_the_table(folder):
    name = f"{folder}/dataset.yaml:val"
    register_folder(name)
    (sample,) = DatasetCatalog.get(name)
    codes, classes = raster("LULC", VAL)[0], semantic_truth(sample)
    names = ["Water", "Trees", "Flooded vegetation", "Crops", "Built area", "Bare ground", "Snow/ice", "Rangeland"]
    assert MetadataCatalog.get(name).stuff_classes == names and len(np.unique(codes)) > 3
    for code in np.unique(codes):
        assert set(classes[codes == code]) == {{0: 255, 8: 255, 9: 7}.get(code, code - 1)}


@needs_terramesh
def test_nothing_is_wrong_with_them_and_a_false_table_is_noticed(folder, capsys):
    assert check.main(["--data", str(folder), "--num-workers", "1"]) == 0
    text = capsys.readouterr().out
    assert "Read 12 rasters of 3 tiles (train 2, val 1)" in text and "EPSG:32718 (1)" in text and "No problem found." in text
    codes = raster("LULC", VAL)
    water = (codes == 1).sum() / np.isin(codes, (1, 2, 3, 4, 5, 6, 7, 9)).sum()
    (row,) = (line.split() for line in text.splitlines() if line.startswith("Water "))
    assert row[-2:] == [f"{water:.1%}", "(1)"]
    (folder / "dataset.yaml").write_text(DATASET.replace("CLASSES: terramesh", "CLASSES: [{NAME: water, CODES: [1]}]"))
    assert check.main(["--data", str(folder), "--num-workers", "1"]) == 1
    share = (codes == 9).mean()
    assert f"val: 9: {share:.1%} of the pixels, in 1 of 1 label maps, e.g. LULC/{VAL}.tif" in capsys.readouterr().out


@needs_terramesh
@pytest.mark.slow
def test_from_tiles_to_a_map(folder, tmp_path):
    run, data = tmp_path / "run", ["--data", str(folder)]
    assert statistics.main([*data, "--write", "--num-workers", "1"]) == 0
    written = yaml.safe_load((folder / "statistics.yaml").read_text())
    for name, place in (("s1", "S1RTC"), ("s2", "S2L2A"), ("dem", "DEM")):
        values = np.concatenate([raster(place, tile).reshape(len(written[name]["MEAN"]), -1) for tile in TRAIN], axis=1)
        np.testing.assert_allclose(written[name]["STD"], values.std(axis=1), rtol=1e-3)
        np.testing.assert_allclose(written[name]["MEAN"], values.mean(axis=1), atol=1e-3 * values.std())

    few = [*OVERRIDES[: OVERRIDES.index("TEST.DETECTIONS_PER_IMAGE")], *OVERRIDES[OVERRIDES.index("INPUT.CROP.SIZE") :]]
    training = ["--config-file", "demo/semantic", *few, "SOLVER.MAX_ITER", "2", "OUTPUT_DIR", str(run)]
    assert train.main([*data, *training]) == 0
    finished, weights = ["--config-file", str(run / "config.yaml")], ["MODEL.WEIGHTS", str(run / "model_final.pth")]
    assert subsets.main([*finished, "--output", str(tmp_path / "sweep"), "--resamples", "0", *weights]) == 0
    rows = json.loads((tmp_path / "sweep/modalities.json").read_text())["rows"]
    assert [row["modalities"] for row in rows][::6] == [["s1", "s2", "dem"], ["dem"]] and len(rows) == 7
    look = ["--output", str(tmp_path / "look"), "--split", "test"]
    assert visualize.main([*finished, *look, *weights]) == 0 and (tmp_path / "look/real_val/s1+s2+dem_1.png").is_file()

    sensors = [f"--modality={name}={TERRAMESH}/{place}/{VAL}.tif" for name, place in (("s1", "S1RTC"), ("dem", "DEM"))]
    (folder / "dataset.yaml").unlink()  # a map needs the weights and the config of the run alone
    assert predict.main([*finished, *sensors, "--output", str(tmp_path / "cover.tif"), *weights]) == 0
    with rasterio.open(TERRAMESH / f"DEM/{VAL}.tif") as dem, rasterio.open(tmp_path / "cover.tif") as cover:
        assert (cover.crs, cover.shape) == (dem.crs, dem.shape) and cover.transform.almost_equals(dem.transform)
        assert set(np.unique(cover.read())) <= {*range(8), 255}
    assert "<Category>Flooded vegetation</Category>" in (tmp_path / "cover.tif.aux.xml").read_text()
