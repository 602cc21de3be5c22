import json
from functools import partial
from pathlib import Path

import pyogrio
import pytest

from imrsf_d2.data.datasets.dfc2023 import TRAIN_CITIES, VAL_CITIES
from imrsf_d2.engine import demo
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.synthetic.building_tiles import write_dfc2023
from imrsf_d2.synthetic.whole_scene import FOOTPRINTS, write_scene
from tests.markdown import read_tables
from tests.tiny import DEMO_CONFIG, NUM_TRAIN, NUM_VAL, OVERRIDES, SIZE


def data(seed=1, scene=False):
    def write(folder):
        return write_dfc2023(
            folder,
            num_train=NUM_TRAIN,
            num_val=NUM_VAL,
            size=SIZE,
            seed=seed,
            num_workers=1,
            train_cities=TRAIN_CITIES,
            val_cities=VAL_CITIES,
            overwrite=True,
        )

    return demo.DemoData("dfc2023", write, "A few tiles.", partial(write_scene, size=128, seed=1) if scene else None)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the demo and tells at which iterations it trained."""
    monkeypatch.setenv("DETECTRON2_DATASETS", "replaced by the demo, restored after the test")
    trained = []
    step = Trainer.run_step
    monkeypatch.setattr(Trainer, "run_step", lambda self: trained.append(self.iter) or step(self))

    def run_demo(*opts, **changes):
        trained.clear()
        demo.run_demo(DEMO_CONFIG, data(**changes), tmp_path, [*OVERRIDES, *opts])
        return list(trained)

    return run_demo


def test_the_demo_reports_and_does_nothing_twice(run, tmp_path, capsys, monkeypatch):
    assert run(scene=True) == [0, 1, 2, 3]
    report = (tmp_path / "report.md").read_text()
    scores = read_tables(report)[0]
    assert scores[0] == ["SAR", "RGB", "DSM", "mask AP50", "mask AP", "box AP50", "box AP"]
    assert (
        report.count("✓") == 12 + 5
    )  # each of three sensors is in four of the seven subsets, and the maps have three and two
    for picture in ("overview", "sar+rgb+dsm", "sar+rgb", "sar+dsm", "rgb+dsm", "sar", "rgb", "dsm"):
        assert f"(pictures/{picture}.png)" in report
        assert (tmp_path / "pictures" / f"{picture}.png").is_file()
    seconds = json.loads((tmp_path / "timings.json").read_text())
    assert list(seconds) == ["data", "training", "evaluation", "pictures", "page", "scene data", "scene maps"]
    assert min(seconds.values()) > 0.01
    assert scores in read_tables(capsys.readouterr().out)
    assert "(report.html)" in report and (tmp_path / "report.html").is_file()

    header, *maps = read_tables(report)[1]
    assert header == ["SAR", "RGB", "DSM", "objects", "AP50", "map"]
    assert [row[:3] for row in maps] == [["✓", "✓", "✓"], ["✓", "", "✓"]] and "(scene/scene.png)" in report
    assert (tmp_path / "scene/scene.png").is_file()
    for *_, objects, ap50, file in maps:
        assert pyogrio.read_info(tmp_path / file)["features"] == int(objects) and 0 <= float(ap50) <= 1
    assert f"town of {pyogrio.read_info(tmp_path / 'data/scene' / FOOTPRINTS)['features']} buildings" in report

    monkeypatch.setattr(demo, "_draw", lambda *arguments: None)  # once is enough
    assert run() == []  # finished; a demo without a scene ends with its report
    assert "scene.png" not in (tmp_path / "report.md").read_text()
    again = json.loads((tmp_path / "timings.json").read_text())
    assert (again["data"], again["training"]) == (seconds["data"], seconds["training"])

    assert run("SOLVER.BASE_LR", "0.001") == [0, 1, 2, 3]  # another config
    assert run("SOLVER.BASE_LR", "0.001", seed=2) == [0, 1, 2, 3]  # other data


def test_an_interrupted_training_is_continued(run, monkeypatch, tmp_path):
    step = Trainer.run_step

    def interrupted(self):
        if self.iter == 3:
            raise KeyboardInterrupt
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert Path(tmp_path / "train/last_checkpoint").read_text() == "model_0000001.pth"
    assert run() == [2, 3]
