import pytest
import torch
from torch import nn

from imrsf_d2.atomic import write_atomically
from imrsf_d2.engine.checkpointer import Checkpointer


def linear(value):
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.weight, value)
    return layer


def test_a_checkpoint_comes_back(tmp_path):
    Checkpointer(linear(1.0), str(tmp_path)).save("model_0000001", iteration=1)
    model = linear(0.0)
    rest = Checkpointer(model, str(tmp_path)).resume_or_load("", resume=True)
    assert rest["iteration"] == 1
    assert model.weight.tolist() == [[1.0, 1.0]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_0000001.pth"]


def test_a_failure_while_writing_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    checkpointer = Checkpointer(linear(1.0), str(tmp_path))
    checkpointer.save("model_final")
    before = (tmp_path / "model_final.pth").read_bytes()

    def fail(content, file):
        file.write(b"half a checkpoint")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    for name in ("model_final", "model_0000002"):
        with pytest.raises(OSError, match="no space left"):
            checkpointer.save(name)
    monkeypatch.undo()
    assert (tmp_path / "model_final.pth").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_final.pth"]
    model = linear(0.0)
    Checkpointer(model, str(tmp_path)).resume_or_load("", resume=True)
    assert model.weight.tolist() == [[1.0, 1.0]]


def test_what_a_kill_leaves_behind_is_overwritten(tmp_path):
    (tmp_path / "file.tmp").write_bytes(b"half")
    write_atomically(tmp_path / "file", lambda file: file.write(b"whole"))
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"whole")]


def test_missing_weights_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint '.*nowhere.pth'.*MODEL.WEIGHTS"):
        Checkpointer(linear(0.0), str(tmp_path)).resume_or_load(str(tmp_path / "nowhere.pth"), resume=False)


@pytest.mark.parametrize("content", [{"other.weight": torch.zeros(1, 2)}, {"weight": torch.zeros(3, 3)}],
                         ids=["other names", "other shapes"])
def test_weights_that_match_nothing_are_an_error(tmp_path, content):
    path = str(tmp_path / "weights.pth")
    torch.save({"model": content}, path)
    with pytest.raises(ValueError, match="holds 0.0 % of this model"):
        Checkpointer(linear(0.0), str(tmp_path)).resume_or_load(path, resume=False)


def test_partial_weights_start_a_training_but_no_evaluation_and_no_resume(tmp_path):
    torch.save({"model": {"weight": torch.ones(1, 2)}}, tmp_path / "weights.pth")
    model = linear(0.0)
    Checkpointer(model, str(tmp_path)).resume_or_load(str(tmp_path / "weights.pth"), resume=False)
    assert model.weight.tolist() == [[1.0, 1.0]]
    with pytest.raises(ValueError, match="holds 66.7 % of this model, expected every parameter.*bias"):
        Checkpointer(model, str(tmp_path), require_all=True).resume_or_load(str(tmp_path / "weights.pth"), resume=False)
    (tmp_path / "last_checkpoint").write_text("weights.pth")
    with pytest.raises(ValueError, match="expected every parameter"):
        Checkpointer(model, str(tmp_path)).resume_or_load("", resume=True)


def test_no_weights_start_from_random_ones(tmp_path):
    assert Checkpointer(linear(0.0), str(tmp_path)).resume_or_load("", resume=True) == {}
