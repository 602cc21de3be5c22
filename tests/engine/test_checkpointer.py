import io
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from detectron2.modeling import build_model
from torch import nn

from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.utils.errors import InputError
from tests.tiny import PRETRAINING


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


KILLED_WHILE_WRITING = """
import os, signal, sys
import torch
from torch import nn
from imrsf_d2.engine.checkpointer import Checkpointer

def half(content, file):
    file.write(b"half a checkpoint")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

checkpointer = Checkpointer(nn.Linear(2, 1), sys.argv[1])
torch.save = half
checkpointer.save(sys.argv[2])
"""


@pytest.mark.parametrize("name", ["model_0000001", "model_0000002"], ids=["the same name", "the next name"])
def test_a_kill_while_writing_leaves_the_previous_checkpoint(tmp_path, name):
    Checkpointer(linear(1.0), str(tmp_path)).save("model_0000001", iteration=1)
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path), name], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(tmp_path.glob(f"{name}.pth.*.tmp"))) == 1  # it was in the middle of it
    model = linear(0.0)
    assert Checkpointer(model, str(tmp_path)).resume_or_load("", resume=True)["iteration"] == 1
    assert model.weight.tolist() == [[1.0, 1.0]]


def test_missing_weights_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint '.*nowhere.pth'.*MODEL.WEIGHTS"):
        Checkpointer(linear(0.0), str(tmp_path)).resume_or_load(str(tmp_path / "nowhere.pth"), resume=False)


def test_an_address_that_cannot_be_reached_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    for scheme in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(scheme, raising=False)
    with pytest.raises(
        ValueError, match="MODEL.WEIGHTS is 'http://127.0.0.1:9/model.pth', which cannot be fetched: .*refused"
    ):
        Checkpointer(linear(0.0)).load("http://127.0.0.1:9/model.pth")


@pytest.mark.parametrize(
    "content", [{"other.weight": torch.zeros(1, 2)}, {"weight": torch.zeros(3, 3)}], ids=["other names", "other shapes"]
)
def test_weights_that_match_nothing_are_an_error(tmp_path, content):
    path = str(tmp_path / "weights.pth")
    torch.save({"model": content}, path)
    with pytest.raises(ValueError, match="fills 0.0 % of this model"):
        Checkpointer(linear(0.0), str(tmp_path)).resume_or_load(path, resume=False)


def test_partial_weights_start_a_training_but_no_evaluation_and_no_resume(tmp_path):
    torch.save({"model": {"weight": torch.ones(1, 2)}}, tmp_path / "weights.pth")
    model = linear(0.0)
    Checkpointer(model, str(tmp_path)).resume_or_load(str(tmp_path / "weights.pth"), resume=False)
    assert model.weight.tolist() == [[1.0, 1.0]]
    with pytest.raises(ValueError, match="fills 66.7 % of this model's parameters .*, expected every parameter.*bias"):
        Checkpointer(model, str(tmp_path), require_all=True).resume_or_load(str(tmp_path / "weights.pth"), resume=False)
    (tmp_path / "last_checkpoint").write_text("weights.pth")
    with pytest.raises(ValueError, match="expected every parameter"):
        Checkpointer(model, str(tmp_path)).resume_or_load("", resume=True)


def test_no_weights_start_from_random_ones(tmp_path):
    assert Checkpointer(linear(0.0), str(tmp_path)).resume_or_load("", resume=True) == {}


# What is said


@pytest.fixture
def said(monkeypatch):
    """What the checkpointer logs, as one text."""
    lines = []
    monkeypatch.setattr("imrsf_d2.engine.checkpointer.logger.info", lambda line, *values: lines.append(line % values))
    return lambda: "\n".join(lines)


class Parts(nn.Module):
    """A backbone of 6 + 2 + 4 parameters and a head of 3 + 1."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.proj = nn.Linear(3, 2)
        self.backbone.pyramid = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
        self.head = nn.Linear(3, 1)


def load(model, path, content=None, **arguments):
    if content is not None:
        torch.save({"model": content}, path)
    return Checkpointer(model, str(Path(path).parent), **arguments).resume_or_load(str(path), resume=False)


def test_the_log_says_which_part_of_the_model_was_filled(tmp_path, said):
    path = tmp_path / "weights.pth"
    content = {
        "backbone.proj.weight": torch.ones(2, 3),
        "backbone.proj.bias": torch.ones(2),
        "head.bias": torch.ones(1),
        "head.old.weight": torch.ones(1),
        "decoders.a.weight": torch.ones(1),
        "decoders.b.bias": torch.ones(1),
    }
    load(Parts(), path, content)
    # 6 + 2 of 12 and 1 of 4
    assert said() == (
        f"{path} fills 56.2 % of the model's parameters: backbone 66.7 %, head 25.0 %; kept random: "
        "backbone.pyramid, head.weight; unused: decoders, head.old."
    )


def test_all_filled_leaves_nothing_random(tmp_path, said):
    load(Parts(), tmp_path / "weights.pth", Parts().state_dict())
    assert "fills 100.0 %" in said() and said().endswith("kept random: none; unused: none.")


def test_weights_without_anything_of_the_backbone_are_an_error(tmp_path):
    content = {"head.weight": torch.ones(1, 3), "backbone.proj.weight": torch.ones(5, 5)}
    with pytest.raises(
        ValueError,
        match=r"backbone 0.0 %, head 75.0 %\), expected weights of the backbone. "
        r"Missing or of another shape: backbone, head.bias",
    ):
        load(Parts(), tmp_path / "weights.pth", content)


def test_a_frozen_parameter_that_is_not_filled_is_an_error(tmp_path):
    model = Parts()
    model.backbone.proj.requires_grad_(False)
    weight = {"backbone.proj.weight": torch.ones(2, 3)}
    with pytest.raises(ValueError, match=r"MODEL.IMRSF.FREEZE freezes, missing are backbone.proj.bias\."):
        load(model, tmp_path / "weights.pth", weight)
    load(model, tmp_path / "weights.pth", weight | {"backbone.proj.bias": torch.ones(2)})


def test_a_frozen_model_without_weights_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="MODEL.IMRSF.FREEZE is True and MODEL.WEIGHTS is empty"):
        Checkpointer(Parts().requires_grad_(False), str(tmp_path)).resume_or_load("", resume=True)


# Kinds of files


@pytest.mark.parametrize("frozen", ["False", "True"])
def test_mask2former_takes_the_encoder_of_a_pretraining(tiny_config, tmp_path, said, frozen):
    pretrained = build_model(tiny_config(*PRETRAINING))
    model = build_model(tiny_config("MODEL.IMRSF.FREEZE", frozen))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load(model, tmp_path / "pretrained.pth", pretrained.state_dict())
    parts = pretrained.backbone, model.backbone.pyramid
    encoder, maps = (sum(parameter.numel() for parameter in part.parameters()) for part in parts)
    assert (
        f"backbone {100 * encoder / (encoder + maps):.1f} %, sem_seg_head 0.0 %; kept random: backbone.pyramid, "
        "sem_seg_head; unused: decoders, contrastive."
    ) in said()
    given, now = pretrained.state_dict(), model.state_dict()
    assert set(given) & set(now) == {
        name for name in now if name.startswith("backbone.") and not name.startswith("backbone.pyramid.")
    }
    for name, value in now.items():
        assert torch.equal(value, given.get(name, before[name])), name


def test_a_pretraining_of_another_width_is_an_error(tiny_config, tmp_path):
    pretrained = build_model(tiny_config(*PRETRAINING, "MODEL.IMRSF.EMBED_DIM", "64"))
    with pytest.raises(ValueError, match=r"fills 0.0 % of this model's parameters .*, expected at least some"):
        load(build_model(tiny_config()), tmp_path / "pretrained.pth", pretrained.state_dict())


def test_a_whole_model_comes_back_from_safetensors(tiny_config, tmp_path):
    """Whose names stand for no older version of Mask2Former's head, though the file knows no versions."""
    path, model, given = tmp_path / "model.safetensors", build_model(tiny_config()), build_model(tiny_config())
    safetensors.torch.save_file(given.state_dict(), path)
    load(model, path, require_all=True)
    for name, value in given.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize("prefix", ["", "module."])
def test_averaged_weights_have_todays_names(tiny_config, tmp_path, prefix):
    """A plain dictionary says nothing of versions; "module." is of a model in DistributedDataParallel."""
    model, given = build_model(tiny_config()), build_model(tiny_config())
    averaged = {f"{prefix}{name}": value for name, value in given.state_dict().items()}
    torch.save({"model": averaged}, tmp_path / "averaged.pth")
    Checkpointer(model, require_all=True).load(str(tmp_path / "averaged.pth"))
    assert all(torch.equal(values, given.state_dict()[name]) for name, values in model.state_dict().items())


def test_a_damaged_safetensors_file_is_named(tmp_path):
    (tmp_path / "half.safetensors").write_bytes(b"\x99" * 20)
    with pytest.raises(ValueError, match=r"half\.safetensors"):
        load(linear(0.0), tmp_path / "half.safetensors")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("suffix", ["pth", "pt", "bin", "pyth", "pkl"])
def test_code_in_a_file_is_never_run(tmp_path, suffix):
    weights = "model_state" if suffix == "pyth" else "model"
    content = {weights: {"weight": [1.0]}, "__author__": "me", "trap": Trap(tmp_path / "sprung")}
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=f"weights.{suffix}.*open"):
        load(linear(0.0), path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "suffix, weights", [("pth", "model"), ("pth", "state_dict"), ("pt", "model"), ("bin", "model"), ("pyth", "model_state")]
)
def test_pytorch_is_told_to_read_weights_only(tmp_path, monkeypatch, suffix, weights):
    """Which it does by itself since 2.6, and not before."""
    path, model, told, read = tmp_path / f"weights.{suffix}", linear(0.0), [], torch.load
    torch.save({weights: {"weight": torch.ones(1, 2), "bias": torch.ones(1)}, "epoch": 3}, path)
    monkeypatch.setattr(
        torch, "load", lambda *args, **options: told.append(options.get("weights_only")) or read(*args, **options)
    )
    Checkpointer(model, str(tmp_path)).resume_or_load(str(path), resume=False)
    assert model.weight.tolist() == [[1.0, 1.0]] and told and all(told)


def test_after_a_failure_another_file_can_be_loaded(tmp_path):
    (tmp_path / "damaged.pth").write_bytes(b"half")
    torch.save({"model": linear(1.0).state_dict()}, tmp_path / "whole.pth")
    model = linear(0.0)
    checkpointer = Checkpointer(model, str(tmp_path))
    with pytest.raises(ValueError, match="damaged.pth"):
        checkpointer.load(str(tmp_path / "damaged.pth"))
    checkpointer.load(str(tmp_path / "whole.pth"))
    assert model.weight.tolist() == [[1.0, 1.0]]


def test_a_file_that_is_cut_off_is_named(tmp_path):
    buffer = io.BytesIO()
    torch.save({"model": {"weight": torch.ones(1, 2)}}, buffer)
    (tmp_path / "half.pth").write_bytes(buffer.getvalue()[:-200])
    with pytest.raises(ValueError, match="half.pth.*complete"):
        load(linear(0.0), tmp_path / "half.pth")


def test_detectron2s_zoo_still_loads_with_its_matching_of_names(tmp_path):
    model = nn.ModuleDict({"backbone": nn.ModuleDict({"stem": linear(0.0)})})
    content = {"stem.weight": np.full((1, 2), 3, np.float32), "stem.bias": np.zeros(1, np.float32)}
    zoo = {"model": content, "__author__": "me", "matching_heuristics": True}
    (tmp_path / "zoo.pkl").write_bytes(pickle.dumps(zoo))
    load(model, tmp_path / "zoo.pkl", require_all=True)
    assert model["backbone"]["stem"].weight.tolist() == [[3.0, 3.0]]


def test_a_state_dict_beside_other_things_loads(tmp_path):
    torch.save({"state_dict": {"weight": torch.ones(1, 2)}, "epoch": 3}, tmp_path / "other.pth")
    model = linear(0.0)
    load(model, tmp_path / "other.pth")
    assert model.weight.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    "content, found",
    [
        ({"model": {"backbone.weight": 3}}, "int 3 as 'backbone.weight'"),
        ({"model": [1, 2]}, "a list below 'model'"),
        ({"model": {5: torch.zeros(1)}}, "as 5"),
        ({"model": {"backbone.weight": torch.tensor([1.0, float("nan")])}}, "NaN"),
    ],
)
def test_weights_that_no_model_can_use_are_named(content, found, tmp_path):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(InputError, match="odd.pth") as raised:
        Checkpointer(torch.nn.Linear(1, 2)).load(str(tmp_path / "odd.pth"))
    assert found in str(raised.value)
