"""Tiles without a sensor: counted, scored apart, and said."""

import logging

import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.coverage import Coverage, warn_of_tiles_without
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.summary import summarize
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.evaluation.sweep_report import sweep_markdown
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError
from tests.markdown import read_tables
from tests.oracle import Oracle
from tests.tiny import DEMO_CONFIGS, OVERRIDES

SENSORS = ModalitySet([Modality("sar"), Modality("rgb", 3), Modality("dsm")])


def coverage_of(*tiles):
    """Of tiles that have the sensors named by the first letters: "sr" has SAR and RGB. No tile has a DSM unless "d"."""
    samples = [
        {
            "image_id": 10 + number,
            "file_name": f"{number}.tif",
            "modalities": {name: "path" if name[0] in tile else None for name in SENSORS.names},
        }
        for number, tile in enumerate(tiles)
    ]
    return Coverage.of_samples("set", samples, SENSORS)


def test_tiles_are_counted_by_the_files_that_their_samples_name():
    coverage = coverage_of("sr", "s", "r", "")
    assert coverage.with_any(["sar"]).tolist() == [True, True, False, False]
    assert coverage.with_any(["sar", "rgb"]).tolist() == [True, True, True, False]
    assert coverage.with_all(["sar", "rgb"]).tolist() == [True, False, False, False]
    assert coverage.existing == ("sar", "rgb") and coverage.absent == ("dsm",)
    turned = coverage.ordered((12, 10))
    assert turned.has.tolist() == [[False, True, False], [True, True, False]] and turned.file_names == ("2.tif", "0.tif")


def test_a_key_that_is_not_there_is_a_missing_sensor():
    coverage = Coverage.of_samples("set", [{"image_id": 1, "file_name": "1.tif", "modalities": {"rgb": "path"}}], SENSORS)
    assert coverage.has.tolist() == [[False, True, False]]


def test_subsets_are_of_the_sensors_that_exist():
    coverage = coverage_of("sr", "s")
    assert coverage.choose(None, "--subsets") == [("sar", "rgb"), ("sar",), ("rgb",)]
    assert coverage.choose([["rgb", "sar"]], "--subsets") == [("sar", "rgb")]
    message = r"--subsets names 'dsm' in rgb\+dsm, but no tile of 'set' has it: choose from \['sar', 'rgb'\]"
    with pytest.raises(InputError, match=message):
        coverage.choose([["sar"], ["rgb", "dsm"]], "--subsets")
    assert len(coverage_of("s", "rd").choose(None, "--subsets")) == 7


def test_tiles_without_a_subsets_sensors_are_counted_in_one_warning(caplog):
    warn_of_tiles_without(coverage_of("sr", "sr", "r", "r", "r", "r", "s"), [("sar", "rgb"), ("sar",), ("rgb",)])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "sar: 4 of 7 tiles (2.tif, 3.tif, 4.tif and 1 more); rgb: 1 of 7 tiles (6.tif)" in record.message
    assert "sar+rgb" not in record.message
    warn_of_tiles_without(coverage_of("sr", "r"), [("sar", "rgb"), ("rgb",)])
    assert len(caplog.records) == 1  # nothing to say


@pytest.fixture(params=["instance", "semantic"])
def cfg(request, tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    return load_config(DEMO_CONFIGS[request.param], OVERRIDES)


def take_away(monkeypatch, dataset, *gone):
    """Of the dataset's tiles, take from the n-th the n-th tuple of sensors."""
    samples = [
        {**sample, "modalities": {**sample["modalities"], **dict.fromkeys(names)}}
        for sample, names in zip(DatasetCatalog.get(dataset), gone, strict=True)
    ]
    monkeypatch.setitem(DatasetCatalog.data, dataset, lambda: samples)
    return samples


def swept(cfg, folder, eye):
    """Rows and summary of a model that knows everything where `eye` has data."""
    (dataset,) = cfg.DATASETS.TEST
    record = SweepRecord(folder)
    rows = sweep_subsets(cfg, Oracle(cfg, dataset, eye), dataset, record=record)
    subsets = [tuple(row["modalities"]) for row in rows]
    coverage = Coverage.of_samples(dataset, DatasetCatalog.get(dataset), ModalitySet.from_config(cfg))
    return rows, summarize(
        coverage.existing,
        rows,
        {subset: record.images(subset) for subset in subsets},
        ["background", "building"],
        0,
        coverage=coverage,
    )


def test_a_perfect_sensor_that_half_of_the_tiles_lack_scores_half_and_100(cfg, tmp_path, monkeypatch, caplog):
    (dataset,) = cfg.DATASETS.TEST
    first, second = take_away(monkeypatch, dataset, (), ("sar",))
    rows, summary = swept(cfg, tmp_path, "sar")
    if summary.metric == "AP50":  # of 101 recalls, those are reached that the first tile's share of the objects allows
        found, objects = (len(sample["annotations"]) for sample in (first, second))
        half = 100 * (100 * found // (found + objects) + 1) / 101
    else:  # nothing but background is told of the second tile
        (background, _), (miss, building) = np.sum(SweepRecord(tmp_path).images(["sar"]).confusion, axis=0)
        half = 50 * (background / (background + miss) + building / (building + miss))
    assert summary.scores[("sar",)].value == pytest.approx(half) and 20 < half < 80
    assert summary.covered.scores[("sar",)].value == pytest.approx(100)
    assert summary.covered.images[("sar",)] == 1 and summary.covered.images[("rgb",)] == 2
    assert summary.having == {"sar": 1, "rgb": 2, "dsm": 2} and summary.complete_images == 1
    # The complete input, too, is perfect on the first tile alone: of it, nothing is lost without RGB.
    assert summary.covered.retention[("sar",)].value == pytest.approx(1)
    assert summary.covered.scores[("sar", "rgb")].value == summary.scores[("sar", "rgb")].value == pytest.approx(half)
    # On the tile that has all three, SAR is worth everything.
    blind, complete = (end.value for end in summary.ends)
    assert complete == pytest.approx(100)
    assert {name: worth.value for name, worth in summary.shapley.items()} == pytest.approx(
        {"sar": 100 - blind, "rgb": 0, "dsm": 0}, abs=1e-9
    )
    assert {name: loss.value for name, loss in summary.losses.items()} == pytest.approx(
        {"sar": 100 - blind, "rgb": 0, "dsm": 0}, abs=1e-9
    )
    assert f"sar: 1 of 2 tiles ({second['file_name']})" in caplog.text

    text = sweep_markdown(rows, summary, {}, [])
    _, tiles, _, _, covered, _, contributions = read_tables(text)
    assert [row[:2] for row in tiles[1:]] == [["SAR", "1"], ["RGB", "2"], ["DSM", "2"], ["SAR + RGB + DSM", "1"]]
    assert covered[0][3:6] == ["tiles", f"{summary.metric}, all tiles", f"{summary.metric}, these tiles"]
    assert ["✓", "", "", "1", f"{half / 100:.3f}", "1.000"] in [row[:6] for row in covered]
    assert contributions[1][:2] == ["SAR", f"{1 - blind / 100:.3f}"] and "1 of 2 tiles" in text


def test_where_no_tile_has_every_sensor_there_are_no_shapley_values(cfg, tmp_path, monkeypatch):
    take_away(monkeypatch, cfg.DATASETS.TEST[0], ("rgb",), ("sar",))
    rows, summary = swept(cfg, tmp_path, None)
    assert summary.shapley == {} and summary.losses == {} and summary.ends is None and summary.complete_images == 0
    _, tiles, *others = read_tables(sweep_markdown(rows, summary, {}, []))
    assert [row[:2] for row in tiles[1:]] == [["SAR", "1"], ["RGB", "1"], ["DSM", "2"], ["SAR + RGB + DSM", "0"]]
    assert not [table for table in others if "Shapley value" in table[0]]


def test_a_sensor_that_no_tile_has_is_named_and_left_out(cfg, tmp_path, monkeypatch, caplog):
    (dataset,) = cfg.DATASETS.TEST
    take_away(monkeypatch, dataset, ("dsm",), ("dsm",))
    rows, summary = swept(cfg, tmp_path, "sar")
    assert [row["modalities"] for row in rows] == [["sar", "rgb"], ["sar"], ["rgb"]]
    assert list(summary.shapley) == ["sar", "rgb"] and summary.absent == ("dsm",)
    assert summary.retention[("sar",)].value == pytest.approx(1)
    assert f"No tile of {dataset!r} has 'dsm'" in caplog.text
    scores, tiles, *others = read_tables(sweep_markdown(rows, summary, {}, []))
    assert tiles[1:] == [["SAR", "2", "0"], ["RGB", "2", "0"], ["DSM", "0", "0"], ["SAR + RGB", "2", ""]]
    assert scores[0][:2] == ["SAR", "RGB"] and "DSM" not in scores[0] and len(others) == 3


def test_a_dataset_without_gaps_has_no_second_table_of_retention(cfg, tmp_path, caplog):
    rows, summary = swept(cfg, tmp_path, "sar")
    for subset, score in summary.scores.items():
        assert summary.covered.scores[subset].value == score.value
    assert summary.complete_images == 2
    tables = read_tables(sweep_markdown(rows, summary, {}, []))
    assert len(tables) == 5 and not [table for table in tables if "tiles" in table[0]]
    assert "none of the sensors" not in caplog.text
