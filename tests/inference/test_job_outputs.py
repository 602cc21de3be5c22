"""What a job writes: the map and what may come with it, together or not at all."""

import numpy as np
import pytest
import rasterio
import shapely
import torch
from rasterio.transform import from_origin
from torch import nn

from imrsf_d2.inference.job import SceneJob
from imrsf_d2.inference.outputs import Extras
from imrsf_d2.inference.plan import Settings
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import OccupiedError, is_user_error
from imrsf_d2.utils.listening import Listener
from tests.inference.disks import full_disk
from tests.inference.oracle_model import OracleClassifier, OracleDetector
from tests.inference.scene_files import LEFT, TOP, UTM, write
from tests.inference.tiff_structure import check_cog

MODALITIES = ModalitySet([Modality("truth", 1), Modality("sar", 1)])
PATCH = 16
SETTINGS = Settings(window=128, overlap=32)
NAMES, COLORS = ["water", "trees", "fields"], [(0, 0, 255), (0, 128, 0), (255, 255, 0)]
ALL = Extras(probabilities=True, importance=True, picture=True)
ALL_FILES = ["cover.tif", "cover.tif.aux.xml", "cover.tif.importance.tif", "cover.tif.png", "cover.tif.probabilities.tif"]


class Layout:
    def __init__(self, present, grid):
        self.present, self.grid = present, grid

    def unpack_rows(self, values):
        return values


class Attention(nn.Module):
    """Stands for the Bi-LSTM attention: listens to the first sensor three times as much as to the second."""

    def forward(self, streams, fusion, layout):
        beta = layout.present * torch.tensor([3.0, 1.0]).reshape(1, 2, 1)
        return fusion, beta / beta.sum(dim=1, keepdim=True).clamp(min=1)


class Listening(nn.Module):
    """An oracle with a backbone that has such an attention."""

    def __init__(self, oracle):
        super().__init__()
        self.oracle = oracle
        self.backbone = nn.Module()
        self.backbone.patch_size, self.backbone.bilstm, self.backbone.check_weighing = PATCH, Attention(), lambda: None

    @property
    def calls(self):
        return self.oracle.calls

    def forward(self, inputs):
        validity = torch.stack([sample["image"][-2:] for sample in inputs])
        present = nn.functional.avg_pool2d(validity, PATCH) >= 0.5
        self.backbone.bilstm(None, None, Layout(present.flatten(2), present.shape[2:]))
        return self.oracle(inputs)


@pytest.fixture
def scene(tmp_path, rng):
    labels = np.kron(rng.integers(0, 3, (16, 20)), np.ones((16, 16))).astype(np.float32)
    labels[96:128, 160:240] = -1
    write(tmp_path / "data/truth.tif", labels, from_origin(LEFT, TOP, 0.5, 0.5), nodata=-1)
    write(tmp_path / "data/sar.tif", np.ones((256, 160), np.float32), from_origin(LEFT, TOP, 0.5, 0.5))
    return open_scene(MODALITIES, {n: [str(tmp_path / f"data/{n}.tif")] for n in ("truth", "sar")}, reference="truth")


class Seen:
    """Notes what it was shown."""

    def __init__(self):
        self.features = []

    def watch(self, features):
        for feature in features:
            self.features.append(feature)
            yield feature


class Picture:
    """Notes what it was shown, and may fail."""

    def __init__(self, error=None):
        self.outlines, self.error = Seen(), error

    def save(self, path, output):
        if self.error is not None:
            raise self.error
        with rasterio.open(output) if output.endswith(".tif") else open(output, "rb"), open(path, "wb") as file:
            file.write(b"picture")


def job_of(scene, path, extras=ALL, instances=False, resume=False):
    path.parent.mkdir(exist_ok=True)
    job = SceneJob(scene, path, SETTINGS, NAMES, instances=instances, colors=COLORS, extras=extras, patch_px=PATCH)
    job.open(resume=resume)
    oracle = OracleDetector() if instances else OracleClassifier(3)
    return job, WindowPredictor(Listening(oracle), MODALITIES, instances=instances, importance=extras.importance)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_label_map_comes_with_all_that_was_asked_for(scene, tmp_path):
    job, predictor = job_of(scene, tmp_path / "out/cover.tif")
    job.compute(predictor)
    assert names(tmp_path / "out") == ["cover.tif.parts"]
    assert job.write(Picture()) is None
    assert names(tmp_path / "out") == ALL_FILES
    assert sorted(path.name for path in job.outputs()) == [name for name in ALL_FILES if name != "cover.tif.aux.xml"]
    with rasterio.open(tmp_path / "out/cover.tif") as file:
        labels = file.read(1)
    for name in ("cover.tif", "cover.tif.probabilities.tif", "cover.tif.importance.tif"):
        check_cog(tmp_path / "out" / name)
    with rasterio.open(tmp_path / "out/cover.tif.probabilities.tif") as file:
        probabilities = file.read()
        assert file.descriptions == tuple(NAMES) and file.dtypes == ("float32",) * 3 and np.isnan(file.nodata)
        assert file.transform == scene.grid.transform and file.crs == UTM and file.shape == labels.shape
    known = labels != 255
    assert known.any() and not known.all()
    np.testing.assert_array_equal(probabilities.argmax(axis=0)[known], labels[known])
    np.testing.assert_allclose(probabilities.sum(axis=0)[known], 1, rtol=1e-5)
    assert np.isnan(probabilities[:, ~known]).all()
    with rasterio.open(tmp_path / "out/cover.tif.importance.tif") as file:
        truth, sar = file.read()
        assert file.descriptions == ("truth", "sar") and file.shape == (16, 20)
    hole = np.zeros((16, 20), dtype=bool)
    hole[6:8, 10:15] = True
    assert np.isnan(truth[hole]).all() and (truth[:, 10:][~hole[:, 10:]] == 1).all() and np.isnan(sar[:, 10:]).all()
    np.testing.assert_allclose(truth[:, :10], 0.75), np.testing.assert_allclose(sar[:, :10], 0.25)


def test_objects_come_with_importance_and_a_picture_of_each(scene, tmp_path):
    job, predictor = job_of(scene, tmp_path / "out/buildings.gpkg", Extras(importance=True, picture=True), instances=True)
    job.compute(predictor)
    picture = Picture()
    number = job.write(picture)
    seen = picture.outlines.features
    assert number == len(seen) > 0 and all(shapely.is_valid([f.geometry for f in seen]))
    assert names(tmp_path / "out") == ["buildings.gpkg", "buildings.gpkg.importance.tif", "buildings.gpkg.png"]


def test_if_one_of_the_files_fails_none_is_replaced_and_the_rest_goes_on_from_there(scene, tmp_path):
    (tmp_path / "out").mkdir()
    for name in ALL_FILES:
        (tmp_path / "out" / name).write_text("old")
    job, predictor = job_of(scene, tmp_path / "out/cover.tif")
    job.compute(predictor)
    with pytest.raises(OSError, match="no room"):
        job.write(Picture(OSError("no room")))
    assert names(tmp_path / "out") == sorted([*ALL_FILES, "cover.tif.parts"])
    assert all((tmp_path / "out" / name).read_text() == "old" for name in ALL_FILES)
    assert not (job.folder / "outputs").exists()
    job._folder.close()
    again, predictor = job_of(scene, tmp_path / "out/cover.tif", resume=True)
    again.compute(predictor)
    again.write(Picture())
    assert predictor.model.calls == [] and names(tmp_path / "out") == ALL_FILES
    assert not any((tmp_path / "out" / name).read_bytes() == b"old" for name in ALL_FILES)


def test_a_full_disk_leaves_the_maps_that_were_there(scene, tmp_path):
    job, predictor = job_of(scene, tmp_path / "out/cover.tif")
    (tmp_path / "out/cover.tif").write_text("old")
    job.compute(predictor)
    with pytest.raises((ValueError, OSError), match="cover"), full_disk(2000):
        job.write(Picture())
    assert names(tmp_path / "out") == ["cover.tif", "cover.tif.parts"] and (tmp_path / "out/cover.tif").read_text() == "old"
    assert not (job.folder / "outputs").exists() and job.complete()


def test_what_was_not_computed_cannot_be_added_by_resuming(scene, tmp_path):
    job, predictor = job_of(scene, tmp_path / "out/cover.tif", Extras())
    job.compute(predictor)
    job._folder.close()
    for extras, key in ((Extras(probabilities=True), "probabilities"), (Extras(importance=True), "importance")):
        with pytest.raises(OccupiedError, match=f"{key} was False, now True"):
            job_of(scene, tmp_path / "out/cover.tif", extras, resume=True)
    job_of(scene, tmp_path / "out/cover.tif", Extras(picture=True), resume=True)  # is drawn of the map


def test_a_block_counts_as_finished_only_with_all_its_parts(scene, tmp_path, monkeypatch):
    import imrsf_d2.inference.mapping as mapping

    job, predictor = job_of(scene, tmp_path / "out/cover.tif")
    monkeypatch.setattr(mapping, "save_importance", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        job.compute(predictor)
    assert not job.complete()


def test_objects_have_no_class_probabilities(scene, tmp_path):
    with pytest.raises(ValueError, match="probabilities are those"):
        job_of(scene, tmp_path / "out/buildings.gpkg", Extras(probabilities=True), instances=True)


def test_listening_changes_nothing_and_costs_no_call(scene, tmp_path):
    maps, calls = [], []
    for name, extras in (("a", Extras()), ("b", Extras(importance=True))):
        job, predictor = job_of(scene, tmp_path / name / "cover.tif", extras)
        assert isinstance(predictor.listener, Listener) == extras.importance
        job.compute(predictor)
        job.write()
        calls.append(predictor.model.calls)
        with rasterio.open(job.output) as file:
            maps.append(file.read(1))
    np.testing.assert_array_equal(*maps)
    assert calls[0] == calls[1] and calls[0]


def test_a_full_disk_while_blocks_are_computed_is_said_with_the_file(scene, tmp_path):
    job, predictor = job_of(scene, tmp_path / "out/cover.tif")
    with pytest.raises(OSError, match=r"File too large: .*cover\.tif\.parts/block_000000") as error, full_disk(100):
        job.compute(predictor)
    assert is_user_error(error.value) and not [name for name in names(job.folder) if name.startswith("block")]


def test_a_scene_is_never_replaced_by_its_map(scene, tmp_path):
    with pytest.raises(ValueError, match=r"truth\.tif would be written, and the map is made from it"):
        job_of(scene, tmp_path / "data/truth.tif", Extras())
    (tmp_path / "out/cover.tif.importance.tif").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"cover\.tif\.importance\.tif would be written, and is a folder"):
        job_of(scene, tmp_path / "out/cover.tif", Extras(importance=True))


VRT = (
    '<VRTDataset rasterXSize="320" rasterYSize="256"><SRS>EPSG:32633</SRS><GeoTransform>500000, 0.5, 0, 5800000, 0, -0.5'
    '</GeoTransform><VRTRasterBand dataType="Float32" band="1"><SimpleSource><SourceFilename relativeToVRT="1">{}'
    "</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
)


@pytest.mark.parametrize("read_as", ["a file without a system", "a VRT", "a VRT of a VRT", "a link"])
def test_no_file_that_a_scene_is_read_from_is_replaced_by_its_map(tmp_path, read_as):
    source = tmp_path / "data/truth.tif"
    assumed = UTM if read_as == "a file without a system" else None
    write(source, np.ones((256, 320), np.float32), from_origin(LEFT, TOP, 0.5, 0.5), crs=None if assumed else UTM)
    before, given = source.read_bytes(), source
    if "VRT" in read_as:
        given = tmp_path / "data/truth.vrt"
        given.write_text(VRT.format("truth.tif"))
    if read_as == "a VRT of a VRT":
        given = tmp_path / "data/of_a_vrt.vrt"
        given.write_text(VRT.format("truth.vrt"))
    if read_as == "a link":
        given = tmp_path / "data/link.tif"
        given.symlink_to(source)
    scene = open_scene(MODALITIES, {"truth": [str(given)]}, assume_crs=assumed)
    with pytest.raises(ValueError, match=r"truth\.tif would be written, and the map is made from it"):
        job_of(scene, source, Extras())
    assert source.read_bytes() == before and not (tmp_path / "data/truth.tif.parts").exists()
    job_of(scene, tmp_path / "data/cover.tif", Extras())
