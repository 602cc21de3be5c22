"""Records of runs say all that reports need, and the committed reports are those of the committed records."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from imrsf_d2.evaluation.per_image import InstanceImages
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError
from projects.study import fair_report
from projects.study.contributions import Contributions, write_contributions
from projects.study.experiment import Experiment
from projects.study.fair import STUDIES, models_of
from projects.study.outcomes import Outcome, read_outcome, write_record
from projects.study.paired import image_counts
from projects.study.pretraining import pretraining_topic
from projects.study.records import keep_records
from projects.study.report import run_topic
from projects.study.tested import TestedRun, score_folder, score_run
from tests.projects.study.fabricated import SUBSETS
from tests.test_configs import REPOSITORY

RECORDS = REPOSITORY / "projects/study/records"
#: The figure of a report that is made of more than the records.
RECONSTRUCTIONS = "\n![reconstructions during pre-training](pretraining.png)\n"


@pytest.fixture
def contributions():
    """Of one image set with each subset: every second prediction is right, more of them with more sensors."""
    rng = np.random.default_rng(0)

    def of(subset):
        image = np.repeat(np.arange(8), 4)
        right = rng.random(32) < 0.2 * (1 + len(subset))
        images = InstanceImages(tuple(range(8)), np.full((8, 1), 4), image, np.zeros(32, int), rng.random(32), right)
        return Contributions((images,) * 2)

    return {subset: of(subset) for subset in SUBSETS}


def test_a_record_keeps_a_test_to_the_digits_of_a_report(contributions):
    tested = score_run(contributions, image_counts(8, 20))
    again = TestedRun.from_json(json.loads(json.dumps(tested.to_json())))
    assert again.images == tested.images != "" and again.subsets["AP"].keys() == set(SUBSETS)
    for metric, measures in tested.measures.items():
        for name, values in measures.items():
            assert values.shape == (21,)
            np.testing.assert_allclose(again.measures[metric][name], values, atol=5.1e-6)
        assert again.subsets[metric] == pytest.approx(tested.subsets[metric], abs=5.1e-6)
    np.testing.assert_allclose(again.calibration["incomplete"].error, tested.calibration["incomplete"].error, atol=5.1e-6)


def test_tests_of_other_images_are_told_apart(contributions):
    counts = image_counts(8, 2)
    others = {
        subset: Contributions(tuple(dataclasses.replace(images, image_ids=tuple("abcdefgh")) for images in own.images))
        for subset, own in contributions.items()
    }
    assert score_run(contributions, counts).images != score_run(others, counts).images


def test_a_folder_is_scored_like_its_contributions(contributions, tmp_path):
    for subset, own in contributions.items():
        write_contributions(tmp_path, subset, own)
    found, expected = score_folder(tmp_path, SUBSETS, 5), score_run(contributions, image_counts(8, 5))
    assert found.to_json() == expected.to_json()


def test_a_record_is_json_with_lists_of_numbers_in_a_line(tmp_path):
    record = {
        "data": {"seed": 0, "none": {}},
        "validation": [{"modalities": ["sar"], "x": float("nan")}],
        "values": [1, 2.5],
    }
    write_record(tmp_path, record)
    text = (tmp_path / "record.json").read_text()
    assert '"values": [1, 2.5]' in text and json.dumps(json.loads(text)) == json.dumps(record)
    assert json.dumps(read_outcome(tmp_path).record) == json.dumps(record)
    assert read_outcome(tmp_path / "nothing") is None


def test_a_pretraining_run_has_no_scores():
    outcome = Outcome({"losses": {}})
    assert not outcome.rows and not outcome.test_rows and outcome.tested is None


def numbers_and_words(text):
    number = r"[+-]?\d+\.\d+"
    return [float(own) for own in re.findall(number, text)], re.sub(number, "#", text)


@pytest.mark.parametrize("name", [name for name in STUDIES if (RECORDS / name).is_dir()])
def test_the_report_is_that_of_the_committed_records(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "replaced by the study, restored after the test")
    study = STUDIES[name]
    experiment = Experiment(
        models_of(study), study.configs, study.data, RECORDS / name, layout=study.layout, test=study.test
    )
    fair_report.write_fair_report(experiment, study, f"python tools/study.py --task {name}", tmp_path / "results.md")
    assert_same_report(tmp_path / "results.md", REPOSITORY / study.results)


def assert_same_report(found, committed):
    names = (committed.stem, found.stem)
    for suffix in (".md", "_runs.csv"):
        then = committed.with_name(committed.stem + suffix).read_text().replace(*names)
        values, words = numbers_and_words(then.replace(RECONSTRUCTIONS, ""))
        own, own_words = numbers_and_words(found.with_name(found.stem + suffix).read_text())
        assert own_words == words
        np.testing.assert_allclose(own, values, atol=1.1e-3)


def test_the_report_on_pre_training_is_that_of_the_committed_records(tmp_path):
    command = ["python", "tools/pretrain_demo.py"]
    run_topic(pretraining_topic(), command, RECORDS / "pretraining", tmp_path / "results.md", report_only=True)
    assert_same_report(tmp_path / "results.md", REPOSITORY / "docs/results_pretraining.md")


def test_a_run_that_was_tested_on_other_data_is_not_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "replaced by the study, restored after the test")
    study = STUDIES["semantic"]
    for name in ("proposed-seed1-data0", "proposed-seed2-data1"):
        shutil.copytree(RECORDS / "semantic" / name, tmp_path / name)
    path = tmp_path / "proposed-seed2-data1/record.json"
    record = json.loads(path.read_text())
    write_record(path.parent, record | {"test_data": record["test_data"] | {"seed": 2000}})
    experiment = Experiment(models_of(study), study.configs, study.data, tmp_path, layout=study.layout, test=study.test)
    outcomes, missing = experiment.collect()
    assert [run.name for run in outcomes] == ["proposed-seed1-data0"]
    reasons = {run.name: reason for run, reason in missing.items()}
    assert re.match(r"tested on other data \(\{.*'seed': 2000", reasons["proposed-seed2-data1"])


def test_committed_records_hold_no_path_of_a_machine():
    configs = list(RECORDS.rglob("config.yaml"))
    assert configs
    for path in configs:
        text = path.read_text()
        assert f"OUTPUT_DIR: ./{path.parent.name}\n" in text and not re.search(r": ['\"]?/", text), path


def test_what_is_kept_of_a_run_has_no_path_of_its_machine(tmp_path):
    folder = tmp_path / "runs/finetuned-seed1"
    config = f"MODEL:\n  WEIGHTS: {tmp_path}/runs/g-seed1/model_final.pth\nOUTPUT_DIR: {folder}\n"
    for name, text in {"config.yaml": config, "origin.json": "{}", "log.txt": "", "model_final.pth": ""}.items():
        write_text(folder / name, text)
    with pytest.raises(InputError, match=r"no finished run in .*runs, expected folders with a record.json"):
        keep_records(tmp_path / "runs", tmp_path / "kept")
    write_record(folder, {"losses": {}})
    assert keep_records(tmp_path / "runs", tmp_path / "kept") == ["finetuned-seed1"]
    kept = tmp_path / "kept/finetuned-seed1"
    assert {path.name for path in kept.iterdir()} == {"config.yaml", "origin.json", "record.json"}
    expected = "MODEL:\n  WEIGHTS: ./g-seed1/model_final.pth\nOUTPUT_DIR: ./finetuned-seed1\n"
    assert (kept / "config.yaml").read_text() == expected
    assert read_outcome(kept).record == {"losses": {}}
