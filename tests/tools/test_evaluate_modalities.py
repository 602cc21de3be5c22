"""tools/evaluate_modalities.py, end to end, on tiny models and tiny data."""

import csv
import functools
import json
import shutil
from datetime import timedelta

import numpy as np
import pytest
import rasterio
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import launch
from detectron2.modeling import build_model

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.confusion import semantic_scores
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.trivial import trivial_results
from imrsf_d2.utils.locks import sole_user
from tests.browser import Opened, page_data, start_browser
from tests.markdown import read_tables
from tests.tiny import DEMO_CONFIGS, NUM_VAL, OVERRIDES
from tests.tools.test_train_net import load_tool


@pytest.fixture(scope="module")
def checkpoints(tiny_root, tmp_path_factory):
    """task -> the path of a model's checkpoint; the model finds anything at all."""
    folder, paths = tmp_path_factory.mktemp("weights"), {}
    for task, config in DEMO_CONFIGS.items():
        torch.manual_seed(1)
        paths[task] = str(folder / f"{task}.pth")
        torch.save({"model": build_model(load_config(config, OVERRIDES)).state_dict()}, paths[task])
    return paths


@pytest.fixture
def evaluate(tiny_root, tmp_path, checkpoints, monkeypatch):
    """Runs the tool in this process, with output in tmp_path / "out"; returns its exit code."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    tool = load_tool("evaluate_modalities")

    def run(*options, task="instance", opts=(), output="out", weights=True):
        weights = ["MODEL.WEIGHTS", checkpoints[task]] if weights else []
        return tool.main(
            [
                "--config-file",
                str(DEMO_CONFIGS[task]),
                "--output",
                str(tmp_path / output),
                "--resamples",
                "20",
                *options,
                *OVERRIDES,
                *weights,
                *opts,
            ]
        )

    return run


def written(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("task, number", [("instance", 7), ("semantic", 7), ("lulc", 15)])
def test_the_whole_report(evaluate, tmp_path, capsys, task, number):
    assert evaluate(task=task) == 0
    out = tmp_path / "out"
    files = written(out)
    assert {
        "modalities.json",
        "modalities.csv",
        "modalities.md",
        "report.html",
        "subsets.png",
        "losses.png",
        "sweep.json",
        "log.txt",
        "config.yaml",
    } <= files and not any(name.endswith(".tmp") for name in files)
    assert ("classes.png" in files) == (task != "instance")
    data = json.loads((out / "modalities.json").read_text())
    assert len(data["rows"]) == number and data["rows"][0]["images"] == NUM_VAL
    metric = "AP50" if task == "instance" else "mIoU"
    scores = {
        tuple(row["modalities"]): row["results"]["segm" if task == "instance" else "sem_seg"][metric] for row in data["rows"]
    }
    summary = data["summary"]
    complete = data["rows"][0]["modalities"]
    assert list(summary["shapley"]) == complete and summary["resamples"] == 20
    blind = next(iter(trivial_results(data["dataset"])[1].values()))[metric]
    total = sum(worth["value"] for worth in summary["shapley"].values())
    assert total == pytest.approx(scores[tuple(complete)] - blind)
    with open(out / "modalities.csv") as file:
        assert len(list(csv.DictReader(file))) == number
    page = page_data(out / "report.html")
    shown = {label: (one["score"], one["retention"]) for label, one in page["subsets"].items()}
    assert shown == {label: (score, summary["retention"][label]) for label, score in summary["scores"].items()}
    assert len(page["tiles"]) == NUM_VAL and all(tile["predictions"].keys() == shown.keys() for tile in page["tiles"])
    assert "2 tiles are too few for intervals" in (out / "report.html").read_text()
    report = (out / "modalities.md").read_text()
    assert report.count("✓") == 2 * sum(map(len, scores)) and "Shapley value" in report and "nan" not in report
    assert {name for name in files if name.endswith(".png") and f"]({name})" in report} == {
        name for name in files if name.endswith(".png")
    }
    printed = capsys.readouterr().out
    table = read_tables(printed)[-1]
    assert table == read_tables(report)[0] and len(table) == number + 2 and str(out / "modalities.md") in printed


@pytest.mark.gpu
@pytest.mark.parametrize("task", ["semantic", "lulc"])
def test_a_gpu_scores_as_the_cpu_does(evaluate, tmp_path, task):
    scores = {}
    for device in ("cpu", "cuda"):
        assert evaluate(task=task, output=device, opts=("MODEL.DEVICE", device)) == 0
        rows = json.loads((tmp_path / device / "modalities.json").read_text())["rows"]
        scores[device] = [row["results"]["sem_seg"]["mIoU"] for row in rows]
    assert min(scores["cpu"]) > 0
    assert scores["cuda"] == pytest.approx(scores["cpu"], abs=0.5)


def test_the_console_names_every_subset_in_a_line_and_the_log_is_complete(evaluate, tmp_path, capfd):
    assert evaluate() == 0
    printed, log = capfd.readouterr(), (tmp_path / "out/log.txt").read_text()
    lines = printed.out.splitlines()
    assert len(lines) < 35 and len(printed.err.splitlines()) < 3  # if the model finds nothing, and the same with all subsets
    subsets = ["SAR + RGB + DSM", "SAR + RGB", "SAR + DSM", "RGB + DSM", "SAR", "RGB", "DSM"]
    for what in (
        "Log: ",
        "Device: cpu",
        "Model: ",
        "Classes of ",
        "dfc2023_track2_val: 2 samples",
        *(f"{s}: " for s in subsets),
    ):
        assert len([line for line in lines if line.startswith(what)]) == 1, what
    assert "Full config" in log and "Total inference time" in log
    assert len([table for table in read_tables(log) if "APs" in table[0]]) == len(subsets)
    assert "\x1b[" not in printed.out + printed.err + log


def test_a_second_run_keeps_what_is_finished_and_adds_what_is_not(evaluate, tmp_path, capsys, monkeypatch):
    assert evaluate("--subsets", "dsm+sar,rgb") == 0
    report = (tmp_path / "out/modalities.md").read_text()
    assert not [table for table in read_tables(report) if "Shapley value" in table[0]]
    assert [row["modalities"] for row in json.loads((tmp_path / "out/modalities.json").read_text())["rows"]] == [
        ["sar", "dsm"],
        ["rgb"],
    ]
    part = page_data(tmp_path / "out/report.html")
    assert list(part["subsets"]) == ["sar+dsm", "rgb"] and set(part["tiles"][0]["predictions"]) == {"sar+dsm", "rgb"}
    before = (tmp_path / "out/rgb/scores.json").stat().st_mtime_ns
    assert evaluate() == 0
    assert (tmp_path / "out/rgb/scores.json").stat().st_mtime_ns == before
    assert "2 of 7 subsets are already finished" in (tmp_path / "out/log.txt").read_text()
    assert len(page_data(tmp_path / "out/report.html")["tiles"][0]["predictions"]) == 7
    monkeypatch.setattr("imrsf_d2.engine.modality_evaluation.launch_run", lambda *_: pytest.fail("nothing is left"))
    assert evaluate() == 0
    assert evaluate("--subsets", "rgb") == 0
    capsys.readouterr()


def test_two_sweeps_do_not_share_a_folder(evaluate, tmp_path, capfd):
    """Before its first subset is finished, too, when there is no score yet that would tell them apart."""
    with sole_user(tmp_path / "out"):
        assert evaluate() == 2
    assert "out is in use: another process writes to it" in capfd.readouterr().err
    assert not written(tmp_path / "out")


def test_the_command_on_the_page_completes_a_sweep_of_some_subsets(evaluate, tmp_path, capsys, monkeypatch):
    """From the page of two subsets by what it says in a browser to the page of all, and of an older record without tiles."""
    command = ["tools/evaluate_modalities.py", "--output", "out", "--subsets", "sar,rgb"]
    monkeypatch.setattr("sys.argv", command)
    assert evaluate("--subsets", "sar,rgb") == 0
    with start_browser() as browser:
        opened = Opened(browser, tmp_path / "out/report.html")
        page = opened.page
        assert page.locator("#score").inner_text() == "not evaluated"  # all sensors
        assert page.locator("#command").inner_text().endswith("tools/evaluate_modalities.py --output out")
        assert page.locator("#bars .none").count() == 5
        page.locator("#bars [data-subset=sar]").click()
        assert page.locator("#score").inner_text() != "not evaluated" and not page.locator("#command").is_visible()
        opened.close()
        (tmp_path / "out/report_tiles.json").unlink()
        assert evaluate() == 0
        opened = Opened(browser, tmp_path / "out/report.html")
        scores = json.loads((tmp_path / "out/modalities.json").read_text())["summary"]["scores"]
        for label, score in scores.items():
            opened.page.locator(f"#bars [data-subset='{label}']").click()
            assert opened.page.locator("#score").inner_text() == f"{score['value'] / 100:.3f}"
        assert len(scores) == 7 and opened.page.locator("article").count() == NUM_VAL
        opened.close()
    capsys.readouterr()


def test_importance_maps(evaluate, tmp_path, capsys):
    assert evaluate("--subsets", "rgb", "--importance", "--importance-images", "1") == 0
    maps = {name for name in written(tmp_path / "out") if name.startswith("importance/")}
    (picture,) = [name for name in maps if name.endswith(".png")]
    stem = picture.removeprefix("importance/").removesuffix(".png")
    assert maps == {picture} | {f"importance/{name}/{stem}.tif" for name in ("sar", "rgb", "dsm")}
    assert f"![{stem}]({picture})" in (tmp_path / "out/modalities.md").read_text()
    capsys.readouterr()


def test_missing_files_and_sensors_are_told_from_weak_ones(evaluate, tmp_path, capfd, monkeypatch):
    (dataset,) = load_config(DEMO_CONFIGS["semantic"], OVERRIDES).DATASETS.TEST
    first, second = DatasetCatalog.get(dataset)
    samples = [
        {**sample, "modalities": {**sample["modalities"], **dict.fromkeys(gone)}}
        for sample, gone in ((first, ["dsm"]), (second, ["dsm", "sar"]))
    ]
    monkeypatch.setitem(DatasetCatalog.data, dataset, lambda: samples)
    assert evaluate("--subsets", "rgb+sar,dsm", task="semantic") == 2
    assert f"--subsets names 'dsm' in dsm, but no tile of {dataset!r} has it: choose from ['sar', 'rgb']." in one_line(capfd)
    assert evaluate(task="semantic") == 0
    out = tmp_path / "out"
    data = json.loads((out / "modalities.json").read_text())
    assert [row["modalities"] for row in data["rows"]] == [["sar", "rgb"], ["sar"], ["rgb"]]
    summary = data["summary"]
    assert summary["absent"] == ["dsm"] and summary["having"] == {"sar": 1, "rgb": 2}
    assert summary["covered"]["images"] == {"sar+rgb": 2, "sar": 1, "rgb": 2} and summary["complete_images"] == 1
    # The score of the tile that has SAR, by the evaluator's confusion of that tile alone.
    own = SweepRecord(out).images(["sar"]).confusion[:1]
    expected = semantic_scores(own[0], ["background", "building"])["mIoU"]
    assert summary["covered"]["scores"]["sar"]["value"] == pytest.approx(expected)
    blind, complete = (end["value"] for end in summary["ends"])
    assert sum(worth["value"] for worth in summary["shapley"].values()) == pytest.approx(complete - blind)
    with open(out / "modalities.csv") as file:
        lines = list(csv.DictReader(file))
    assert [line["images_with_any"] for line in lines] == ["2", "1", "2"] and "dsm" not in lines[0]
    assert float(lines[1]["sem_seg/mIoU of images_with_any"]) == pytest.approx(expected, rel=1e-5)
    report = (out / "modalities.md").read_text()
    tiles = read_tables(report)[1]
    assert tiles[1:] == [["SAR", "1", "0"], ["RGB", "2", "0"], ["DSM", "0", "0"], ["SAR + RGB", "1", ""]]
    log = (out / "log.txt").read_text()
    assert f"No tile of {dataset!r} has 'dsm'" in log and f"sar: 1 of 2 tiles ({second['file_name']})" in log
    capfd.readouterr()


def one_line(capfd):
    error = capfd.readouterr().err.rpartition("error: ")[2]
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    "options, opts, message",
    [
        (["--subsets", ""], [], "--subsets is '', which has an empty subset, expected modalities joined by +"),
        (["--subsets", "rgb,,sar"], [], "--subsets is 'rgb,,sar', which has an empty subset"),
        (["--subsets", "rgb+lidar"], [], "--subsets names the unknown modality 'lidar'"),
        (["--subsets", "rgb+rgb"], [], "--subsets names the modality 'rgb' twice"),
        (["--subsets", "rgb+sar,sar+rgb"], [], "--subsets names sar+rgb twice"),
        (["--resamples", "-1"], [], "--resamples is -1, expected 0 or more"),
        (["--num-gpus", "0"], [], "--num-gpus is 0, expected 1 or more"),
        (["--num-gpus", "99"], [], "--num-gpus is 99"),
        (
            ["--importance"],
            ["MODEL.IMRSF.GATHER", "none"],
            "importance shows the weights of the Bi-LSTM attention, but MODEL.IMRSF.GATHER is 'none'",
        ),
        (["--config-file", "nowhere.yaml"], [], "no config file 'nowhere.yaml'"),
        ([], ["MODEL.WEIGHTS", "nowhere.pth"], "MODEL.WEIGHTS is 'nowhere.pth', but there is no such file"),
        ([], ["MODEL.WEIGHTS", ""], "MODEL.WEIGHTS is empty"),
        ([], ["DATASETS.TEST", "('nowhere',)"], "DATASETS names 'nowhere', which is not registered"),
        ([], ["DATASETS.TEST", "()"], "DATASETS.TEST names 0 datasets [], expected exactly one"),
        ([], ["MODEL.IMRSF.EMBED_DIM", "64"], "expected every parameter"),
        ([], ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3"], "MODEL.SEM_SEG_HEAD.NUM_CLASSES is 3, expected 1"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_mistakes_end_with_one_line_and_exit_code_2(evaluate, capfd, options, opts, message):
    assert evaluate(*options, opts=opts) == 2
    assert message in one_line(capfd)


def test_no_weights_at_all(evaluate, capfd, tmp_path):
    assert evaluate(weights=False) == 2
    assert "MODEL.WEIGHTS is empty, which would score random weights" in one_line(capfd)
    assert not (tmp_path / "out").exists()


def test_the_output_of_another_run_is_left_alone(evaluate, checkpoints, tmp_path, capfd):
    assert evaluate("--subsets", "rgb") == 0
    # The log goes on within this process, which the tool's is not.
    before = {name: (tmp_path / "out" / name).read_bytes() for name in written(tmp_path / "out") - {"log.txt"}}
    torch.save({"model": {}, "other": 1}, tmp_path / "other.pth")
    assert evaluate("--subsets", "sar", opts=["MODEL.WEIGHTS", str(tmp_path / "other.pth")]) == 2
    assert "has the scores of another sweep: the weights have changed" in one_line(capfd)
    assert evaluate("--subsets", "sar", opts=["INPUT.ALIGN", "True"]) == 2
    assert "INPUT.ALIGN was False, now True" in one_line(capfd)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before
    assert written(tmp_path / "out") == {*before, "log.txt"}
    training = tmp_path / "training"
    training.mkdir()
    (training / "last_checkpoint").write_text("model_final.pth")
    assert evaluate(output="training") == 2
    assert "has 'last_checkpoint' but no sweep.json" in one_line(capfd)
    assert written(training) == {"last_checkpoint"}


@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_a_dataset_without_labels_is_named(evaluate, task, capfd, tmp_path):
    (source,) = load_config(DEMO_CONFIGS[task], OVERRIDES).DATASETS.TEST
    bare = [{**sample, "annotations": []} for sample in DatasetCatalog.get(source)]
    DatasetCatalog.register("bare", lambda: bare)
    MetadataCatalog.get("bare").set(
        **{key: value for key, value in MetadataCatalog.get(source).as_dict().items() if key != "name"}
    )
    try:
        assert evaluate(task=task, opts=["DATASETS.TEST", "('bare',)"]) == 2
    finally:
        DatasetCatalog.remove("bare")
        MetadataCatalog.remove("bare")
    assert f"none of the {NUM_VAL} images of 'bare' has a label" in one_line(capfd)
    assert not (tmp_path / "out").exists()


def test_missing_data_is_named(evaluate, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert evaluate() == 2
    assert str(tmp_path) in one_line(capfd)


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr("imrsf_d2.engine.launching.usable_cores", lambda: 2)
    monkeypatch.setattr("imrsf_d2.engine.launching.launch", functools.partial(launch, timeout=timedelta(seconds=120)))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["instance", "lulc"])
def test_two_processes_find_and_keep_what_one_does(evaluate, tmp_path, two_cores, task, capsys):
    assert evaluate(task=task, output="one") == 0
    assert evaluate("--num-gpus", "2", task=task, output="two") == 0
    one, two = (json.loads((tmp_path / name / "modalities.json").read_text()) for name in ("one", "two"))
    for row, other in zip(one["rows"], two["rows"], strict=True):
        assert row["modalities"] == other["modalities"] and row["results"].keys() == other["results"].keys()
        for kind, scores in row["results"].items():
            assert {k: v for k, v in scores.items() if v is not None} == pytest.approx(
                {k: v for k, v in other["results"][kind].items() if v is not None}, abs=1e-3
            )
        mine, theirs = (SweepRecord(tmp_path / name).images(row["modalities"]) for name in ("one", "two"))
        assert mine.image_ids == theirs.image_ids and len(mine.image_ids) == NUM_VAL
        for name in ("objects", "image", "category", "right") if task == "instance" else ("confusion",):
            assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name
    capsys.readouterr()


@pytest.mark.slow
def test_a_mistake_that_a_process_finds_is_one_line_too(evaluate, two_cores, capfd):
    assert evaluate("--num-gpus", "2", opts=["MODEL.IMRSF.EMBED_DIM", "64"]) == 2
    assert "expected every parameter" in one_line(capfd)


def test_a_sensor_whose_files_hold_no_pixel_is_in_no_row(evaluate, tiny_root, tmp_path, monkeypatch, capfd):
    shutil.copytree(tiny_root / "dfc2023", tmp_path / "datasets/dfc2023")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    for path in (tmp_path / "datasets").rglob("sar/*.tif"):
        with rasterio.open(path, "r+") as file:
            file.write(np.full((1, file.height, file.width), np.nan, np.float32))
    assert evaluate("--subsets", "sar", task="semantic") == 2
    assert "has a valid pixel of the sensors to evaluate (sar): there is nothing to report" in one_line(capfd)
    assert evaluate("--subsets-per-pass", "2", task="semantic") == 0
    data = json.loads((tmp_path / "out/modalities.json").read_text())
    assert [row["modalities"] for row in data["rows"]] == [["rgb", "dsm"], ["rgb"], ["dsm"]]
    summary = data["summary"]
    assert summary["absent"] == ["sar"] and summary["empty"] == {"sar": NUM_VAL}
    assert list(summary["shapley"]) == ["rgb", "dsm"]
    scores, tiles, *_ = read_tables((tmp_path / "out/modalities.md").read_text())
    assert scores[0][:2] == ["RGB", "DSM"] and ["SAR", "0", str(NUM_VAL)] in tiles
    capfd.readouterr()
