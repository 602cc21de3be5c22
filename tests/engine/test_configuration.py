import pytest

from imrsf_d2.engine.configuration import load_config, setup_run
from imrsf_d2.utils.errors import InputError
from tests.tiny import DEMO_CONFIG, REPOSITORY


def test_the_config_is_finished_and_frozen():
    cfg = load_config(DEMO_CONFIG)
    assert cfg.is_frozen()
    assert cfg.MODEL.PIXEL_MEAN == [-7.94, 81.17, 87.81, 71.92, 5.02, 0.0, 0.0, 0.0]


def test_overrides_win():
    assert load_config(DEMO_CONFIG, ["SOLVER.MAX_ITER", "7"]).SOLVER.MAX_ITER == 7


@pytest.mark.parametrize(
    "opts, message",
    [
        (["SOLVER.MAXITER", "7"], "KEY VALUE override: .*SOLVER.MAXITER"),
        (["SOLVER.MAX_ITER", "7", "--resume"], "--resume comes after KEY VALUE pairs, expected all options before them"),
        (["SOLVER.MAX_ITER"], "KEY VALUE pairs, got 1 words: 'SOLVER.MAX_ITER'"),
        (["SOLVER.MAX_ITER", "many"], "KEY VALUE override: .*SOLVER.MAX_ITER"),
        (["SOLVER.MAX_ITER", "3e4"], "KEY VALUE override: .*SOLVER.MAX_ITER"),
        (["MODEL.IMRSF.BILSTM", "False"], "MODEL.IMRSF.BILSTM was renamed to MODEL.IMRSF.GATHER.*none.* what false was"),
        (["INPUT.TEST_MODALITIES", "['lidar']"], "INPUT.TEST_MODALITIES names the unknown modality 'lidar'"),
    ],
)
def test_bad_overrides_are_named(opts, message):
    with pytest.raises(InputError, match=message):
        load_config(DEMO_CONFIG, opts)


def test_whole_numbers_are_fractions_where_a_key_has_one_and_texts_may_look_like_numbers(tmp_path):
    opts = ["DATALOADER.TRAIN_SHARE", "1", "SOLVER.EMA", "0", "OUTPUT_DIR", "2026_11_26", "SOLVER.STEPS", "(3,)"]
    cfg = load_config(DEMO_CONFIG, opts)
    assert (cfg.DATALOADER.TRAIN_SHARE, cfg.SOLVER.EMA, cfg.OUTPUT_DIR, cfg.SOLVER.STEPS) == (1.0, 0.0, "2026_11_26", (3,))
    (tmp_path / "mine.yaml").write_text(f"_BASE_: {DEMO_CONFIG}\nDATALOADER:\n  TRAIN_SHARE: 1\n")
    assert load_config(tmp_path / "mine.yaml").DATALOADER.TRAIN_SHARE == 1.0
    (tmp_path / "mine.yaml").write_text(f"_BASE_: {DEMO_CONFIG}\nSOLVER:\n  MAX_ITER: many\n")
    with pytest.raises(InputError, match=r"mine\.yaml: .*SOLVER.MAX_ITER"):
        load_config(tmp_path / "mine.yaml")


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match="no config file 'nowhere.yaml'"):
        load_config("nowhere.yaml")


def test_an_unknown_key_in_a_file_is_named_with_the_file(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(f"_BASE_: {REPOSITORY}/configs/dfc2023_instance.yaml\nMODEL:\n  IMRSF:\n    PATCHSIZE: 8\n")
    with pytest.raises(ValueError, match=r"bad.yaml: .*PATCHSIZE"):
        load_config(path)


def test_a_renamed_key_in_a_file_names_its_successor(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text(f"_BASE_: {REPOSITORY}/configs/dfc2023_instance.yaml\nMODEL:\n  IMRSF:\n    BILSTM: true\n")
    with pytest.raises(ValueError, match=r"old.yaml: .*renamed to MODEL.IMRSF.GATHER.*\"bilstm\" is what BILSTM: true was"):
        load_config(path)


def test_a_gpu_that_is_not_there_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="append MODEL.DEVICE cpu"):
        setup_run(load_config(DEMO_CONFIG, ["MODEL.DEVICE", "cuda"]), None)


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "output")
    with pytest.raises(ValueError, match=f"OUTPUT_DIR is '{folder}', where nothing can be written: Not a directory"):
        setup_run(load_config(DEMO_CONFIG, ["OUTPUT_DIR", folder]), None)
