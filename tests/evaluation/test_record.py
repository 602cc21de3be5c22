"""A folder of finished subsets: gone on with by the same run, left alone by any other."""

import os
import shutil
import zipfile

import numpy as np
import pytest
from detectron2.data import MetadataCatalog

from imrsf_d2.data.label_codes import LabelCodes
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.per_image import SemanticImages
from imrsf_d2.evaluation.record import SweepRecord, sweep_identity
from imrsf_d2.geo.rasters import RasterError
from tests.raster_files import write_raster_file
from tests.tiny import DEMO_CONFIG, OVERRIDES

ROW = {"modalities": ["sar", "dsm"], "results": {"sem_seg": {"mIoU": 12.0}}, "images": 1, "seconds": 0.5}
IMAGES = SemanticImages((1,), np.ones((1, 2, 2), dtype=np.int64))
SENSORS = {"sar": [1], "dsm": []}
SAMPLES = [
    {
        "image_id": 1,
        "height": 8,
        "width": 8,
        "file_name": "/here/1.tif",
        "annotations": [{"segmentation": [[1, 2]]}],
        "modalities": {"sar": "/here/1.tif", "rgb": None},
    }
]


def test_a_finished_subset_is_read_again(tmp_path):
    record = SweepRecord(tmp_path / "out")
    record.claim({"weights": "a"})
    assert not record.has(["sar", "dsm"])
    record.keep(ROW, IMAGES, SENSORS)
    again = SweepRecord(tmp_path / "out")
    again.claim({"weights": "a"})
    assert again.has(("sar", "dsm")) and not again.has(("sar",))
    assert again.row(("sar", "dsm")) == ROW
    assert np.array_equal(again.images(("sar", "dsm")).confusion, IMAGES.confusion)
    assert again.sensors(("sar", "dsm")) == SENSORS


@pytest.mark.parametrize("during", ["save_images", "write_text"])
def test_a_kill_while_a_subset_is_written_leaves_it_unfinished(tmp_path, monkeypatch, during):
    record = SweepRecord(tmp_path)
    monkeypatch.setattr(f"imrsf_d2.evaluation.record.{during}", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        record.keep(ROW, IMAGES, SENSORS)
    assert not record.has(ROW["modalities"])


@pytest.mark.parametrize(
    "before, now, message",
    [
        ({"KEY": "a"}, {"KEY": "b"}, "out has the scores of another sweep: KEY was 'a', now 'b'. Choose another"),
        (
            {"KEY": "a", "OLD": 1},
            {"KEY": "a", "NEW": 2},
            "NEW was None, now 2; OLD was 1, now None. Its config has other keys: another version of imrsf_d2 wrote it. Choose another",
        ),
        (
            {"labels": "1f", "KEY": [1]},
            {"labels": "2e", "KEY": (2,)},
            r": the labels have changed; KEY was \[1\], now \[2\]. Choose",
        ),
        ({"A": 1, "B": 1, "C": 1, "D": 1, "E": 1}, {}, r": A was 1, now None; B .*; C was 1, now None \(and 2 more\)"),
        ({"weights": "1f"}, {"weights": "2e"}, ": the weights have changed. Choose"),
        ({"rasters": "1f"}, {"rasters": "2e"}, r": rasters have changed \(size or modification time, which `cp -p`"),
        ({"KEY": 1}, {"KEY": 1, "labels": "1f"}, "labels was None, now '1f'"),
        ({"KEY": 1, "OLD": "x" * 99}, {"KEY": 1}, "OLD was 'xxx.*…, now None"),
    ],
    ids=["value", "another version", "two", "many", "weights", "rasters", "new key", "old key"],
)
def test_another_run_is_refused(tmp_path, before, now, message):
    SweepRecord(tmp_path / "out").claim(before)
    SweepRecord(tmp_path / "out").keep(ROW, IMAGES, SENSORS)
    with pytest.raises(FileExistsError, match=message):
        SweepRecord(tmp_path / "out").claim(now)
    SweepRecord(tmp_path / "out").claim(before)


def test_a_start_that_finished_nothing_does_not_block_the_next_one(tmp_path):
    SweepRecord(tmp_path).claim({"weights": "wrong"})
    SweepRecord(tmp_path).claim({"weights": "right"})
    SweepRecord(tmp_path).keep(ROW, IMAGES, SENSORS)
    with pytest.raises(FileExistsError, match="the weights have changed"):
        SweepRecord(tmp_path).claim({"weights": "wrong"})


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "model_final.pth").write_text("precious")
    with pytest.raises(FileExistsError, match="has 'model_final.pth' but no sweep.json"):
        SweepRecord(tmp_path).claim({})
    assert [path.name for path in tmp_path.iterdir()] == ["model_final.pth"]


def test_a_file_in_the_way_and_a_broken_marker_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file is a file, expected a folder"):
        SweepRecord(tmp_path / "file" / "below").claim({})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.json").write_text("{")
    with pytest.raises(FileExistsError, match="sweep.json was not written by this command"):
        SweepRecord(tmp_path / "out").claim({})


def test_what_is_left_of_a_killed_claim_is_no_obstacle(tmp_path):
    (tmp_path / "sweep.json.0123456789ab.tmp").write_text("{")
    SweepRecord(tmp_path).claim({"weights": "a"})


def identity(tmp_path, *opts, samples=SAMPLES, weights=b"weights", name="w.pth", dataset="set"):
    (tmp_path / name).write_bytes(weights)
    cfg = load_config(DEMO_CONFIG, [*OVERRIDES, "MODEL.WEIGHTS", str(tmp_path / name), *opts])
    return sweep_identity(cfg, dataset, samples)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": b"others"},
        {"dataset": "other"},
        {"samples": SAMPLES * 2},
        {"samples": [{**SAMPLES[0], "annotations": []}]},
        {"samples": [{**SAMPLES[0], "modalities": {"sar": None}}]},
    ],
    ids=str,
)
def test_other_weights_or_data_are_another_run(tmp_path, changes):
    assert identity(tmp_path) != identity(tmp_path, **changes)


@pytest.mark.parametrize(
    "key, value, same",
    [
        ("MODEL.IMRSF.NUM_HEADS", "4", False),
        ("TEST.DETECTIONS_PER_IMAGE", "4", False),
        ("INPUT.ALIGN", "True", False),
        ("SOLVER.AMP.ENABLED", "True", False),
        ("MODEL.IMRSF.MODALITIES", "[{'NAME': 'sar', 'BANDS': [2]}]", False),
        ("SOLVER.BASE_LR", "7.0", True),
        ("MODEL.DEVICE", "cuda", True),
        ("INPUT.TEST_MODALITIES", "['rgb']", True),
        ("DATALOADER.NUM_WORKERS", "3", True),
        ("INPUT.CROP.SIZE", "[128, 128]", True),
        ("INPUT.DIHEDRAL", "False", True),
    ],
)
def test_what_changes_no_score_changes_no_identity(tmp_path, key, value, same):
    assert (identity(tmp_path) == identity(tmp_path, key, value)) == same


def test_a_key_of_the_input_that_nobody_thought_of_counts(tmp_path, monkeypatch):
    """A new way to read samples is another run until somebody says that it is harmless."""
    (tmp_path / "w.pth").write_bytes(b"weights")
    cfg = load_config(DEMO_CONFIG, [*OVERRIDES, "MODEL.WEIGHTS", str(tmp_path / "w.pth")])
    before = sweep_identity(cfg, "set", SAMPLES)
    cfg.defrost()
    cfg.INPUT.NEW_KEY = True
    after = sweep_identity(cfg, "set", SAMPLES)
    assert {key for key in before | after if before.get(key) != after.get(key)} == {"INPUT.NEW_KEY"}


def test_what_only_figures_depend_on_is_the_same_run(tmp_path):
    plain = "[{'NAME': 'sar', 'CHANNELS': 2}, {'NAME': 'map', 'CLASSES': 2}]"
    shown = "[{'NAME': 'sar', 'CHANNELS': 2, 'UNIT': 'm', 'DISPLAY': [2]}, {'NAME': 'map', 'CLASS_NAMES': ['a', 'b']}]"
    assert identity(tmp_path, "MODEL.IMRSF.MODALITIES", plain) == identity(tmp_path, "MODEL.IMRSF.MODALITIES", shown)


def test_moved_files_are_the_same_run(tmp_path):
    moved = [{**SAMPLES[0], "file_name": "/there/1.tif", "modalities": {"sar": "/there/1.tif", "rgb": None}}]
    assert identity(tmp_path) == identity(tmp_path, samples=moved, name="moved.pth")


def test_what_a_label_map_holds_counts(tmp_path):
    labels, moved = tmp_path / "labels.tif", tmp_path / "moved.tif"
    labels.write_bytes(b"000")
    semantic = [{**SAMPLES[0], "annotations": None, "sem_seg_file_name": str(labels)}]
    before = identity(tmp_path, samples=semantic)
    shutil.copyfile(labels, moved)
    assert identity(tmp_path, samples=[{**semantic[0], "sem_seg_file_name": str(moved)}]) == before
    time = labels.stat().st_mtime_ns
    labels.write_bytes(b"003")  # of the same size, and as old
    os.utime(labels, ns=(time, time))
    assert [key for key, value in identity(tmp_path, samples=semantic).items() if before[key] != value] == ["labels"]


def test_what_the_numbers_in_a_label_map_stand_for_counts(tmp_path):
    labels = tmp_path / "labels.tif"
    labels.write_bytes(b"000")
    semantic = {**SAMPLES[0], "annotations": None, "sem_seg_file_name": str(labels)}
    first, second = ({**semantic, "sem_seg_codes": LabelCodes({7: index})} for index in (0, 1))
    found = [identity(tmp_path, samples=[sample])["labels"] for sample in (first, second, first, semantic)]
    assert found[0] == found[2] and len(set(found)) == 3


def test_a_raster_that_was_written_again_counts(tmp_path):
    raster = tmp_path / "sar.tif"
    raster.write_bytes(b"one")
    samples = [{**SAMPLES[0], "modalities": {"sar": str(raster)}}]
    before = identity(tmp_path, samples=samples)
    assert identity(tmp_path, samples=samples) == before
    raster.write_bytes(b"three")
    differing = [key for key, value in identity(tmp_path, samples=samples).items() if before[key] != value]
    assert differing == ["rasters"]


def test_other_names_of_classes_are_another_run(tmp_path):
    MetadataCatalog.get("named").stuff_classes = ["sea", "land"]
    before = identity(tmp_path, dataset="named")
    MetadataCatalog.pop("named")
    MetadataCatalog.get("named").stuff_classes = ["land", "sea"]
    assert identity(tmp_path, dataset="named") != before
    MetadataCatalog.pop("named")


@pytest.mark.parametrize("key, value", [("ignore_label", 9), ("thing_dataset_id_to_contiguous_id", {7: 0, "x": 1})])
def test_what_the_scorer_takes_from_the_metadata_counts(tmp_path, key, value):
    before = identity(tmp_path, dataset="described")
    MetadataCatalog.get("described").set(**{key: value})
    assert identity(tmp_path, dataset="described") != before
    MetadataCatalog.pop("described")


def test_a_label_map_in_an_archive_counts_by_its_pixels(tmp_path):
    path = tmp_path / "labels.tif"
    semantic = [{**SAMPLES[0], "annotations": None, "sem_seg_file_name": f"/vsizip/{tmp_path}/labels.zip/labels.tif"}]
    found = []
    for classes in (0, 3):
        write_raster_file(path, np.full((8, 8), classes, np.uint8))
        (tmp_path / "labels.zip").unlink(missing_ok=True)
        with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
            archive.write(path, "labels.tif")
        found.append(identity(tmp_path, samples=semantic)["labels"])
    assert found[0] != found[1]


def test_a_label_map_that_is_gone_is_named(tmp_path):
    with pytest.raises(RasterError, match="gone.tif"):
        identity(tmp_path, samples=[{**SAMPLES[0], "sem_seg_file_name": str(tmp_path / "gone.tif")}])
