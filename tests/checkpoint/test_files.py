"""Tensors from files and into them; a damaged file, or one that would run code, is refused by name."""

import argparse
import os
import pathlib

import pytest
import torch

from imrsf_d2.checkpoint import files
from imrsf_d2.checkpoint.files import read_weights, write_weights
from imrsf_d2.utils.atomic import write_atomically

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor([1.5])}


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def same(actual, expected=WEIGHTS):
    return actual.keys() == expected.keys() and all(torch.equal(actual[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_what_is_written_comes_back(tmp_path, name):
    shared = {"whole": WEIGHTS["a.weight"], "again": WEIGHTS["a.weight"], "transposed": WEIGHTS["a.weight"].T}
    for weights in (WEIGHTS, shared):
        write_weights(tmp_path / "new" / name, weights)
        assert same(read_weights(tmp_path / "new" / name), weights)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_a_pth_file_is_what_detectron2_loads(tmp_path):
    write_weights(tmp_path / "a.pth", WEIGHTS)
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    assert list(content) == ["model"] and same(content["model"])


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"model": WEIGHTS, "epoch": 3},
        {"state_dict": WEIGHTS, "optimizer": {"lr": 1.0}},
        {"model": {"state_dict": WEIGHTS}},
        {**WEIGHTS, "epoch": 3},
        {"model": {f"module.{name}": value for name, value in WEIGHTS.items()}},
        {"model": WEIGHTS, "args": argparse.Namespace(lr=1e-4, data=["imagenet"])},
    ],
    ids=["flat", "model", "state_dict", "both", "with a number", "of parallel training", "with a command line"],
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_the_usual_nesting_is_unwrapped(tmp_path, content, suffix):
    torch.save(content, tmp_path / f"a{suffix}")
    assert same(read_weights(tmp_path / f"a{suffix}"))


def test_only_a_prefix_of_all_names_is_taken_off(tmp_path):
    weights = {"module.a": torch.ones(1), "b": torch.ones(1)}
    torch.save(weights, tmp_path / "a.pth")
    assert same(read_weights(tmp_path / "a.pth"), weights)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"model": WEIGHTS, "args": Malicious(tmp_path / "made")}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth contains a posix\.mkdir, expected only tensors"):
        read_weights(tmp_path / "a.pth")
    assert not (tmp_path / "made").exists()
    torch.save({"model": WEIGHTS, "folder": pathlib.PurePosixPath("a")}, tmp_path / "b.pth")
    with pytest.raises(ValueError, match="PurePosixPath"):
        read_weights(tmp_path / "b.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "old.pth"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path, name, share):
    weights = {**WEIGHTS, "large": torch.zeros(1000)}
    if name == "old.pth":
        torch.save(weights, tmp_path / name, _use_new_zipfile_serialization=False)
    else:
        write_weights(tmp_path / name, weights)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=rf"cannot read .*{name} \({int(share * len(whole))} bytes\): .*in full\?"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize(
    "content, found",
    [({"epoch": 3}, r"\['epoch'\]"), ([1], "a list"), ({"model": {}}, r"\['model'\]"), (torch.ones(2), "a Tensor")],
)
def test_a_file_without_named_tensors_says_what_it_holds(tmp_path, content, found):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=rf"a\.pth holds {found}, expected tensors with names"):
        read_weights(tmp_path / "a.pth")


def test_a_web_page_saved_as_a_checkpoint_is_an_error_without_bad_advice(tmp_path):
    (tmp_path / "a.pth").write_text("<!doctype html><html>Not found</html>")
    with pytest.raises(ValueError, match="cannot read .*a.pth") as error:
        read_weights(tmp_path / "a.pth")
    assert "weights_only" not in str(error.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint '.*nowhere.pth'"):
        read_weights(tmp_path / "nowhere.pth")
    (tmp_path / "a.npz").write_bytes(b"")
    kinds = r"\.pth, \.pt, \.bin, \.pyth, \.safetensors"
    with pytest.raises(ValueError, match=rf"a\.npz ends in '\.npz', expected .*{kinds}"):
        read_weights(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"b\.bin ends in '\.bin', expected .*\.pth, \.safetensors"):
        write_weights(tmp_path / "b.bin", WEIGHTS)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_failure_while_writing_leaves_what_was_there(tmp_path, monkeypatch, name):
    write_weights(tmp_path / name, WEIGHTS)

    def fail(path, write):
        def half(file):
            write(file)
            raise OSError("no space left on device")

        write_atomically(path, half)

    monkeypatch.setattr(files, "write_atomically", fail)
    with pytest.raises(OSError, match="no space left"):
        write_weights(tmp_path / name, {"a.weight": torch.zeros(1)})
    assert same(read_weights(tmp_path / name)) and [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_checkpoint_names_those_beside_it_the_latest_first(tmp_path):
    for second, name in enumerate(["model_0000099.pth", "model_interrupted.pth", "notes.txt"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (second, second))
    expected = "model_final.pth'. In that folder, the latest first: 'model_interrupted.pth', 'model_0000099.pth'.$"
    with pytest.raises(FileNotFoundError, match=expected):
        read_weights(tmp_path / "model_final.pth")
    with pytest.raises(FileNotFoundError, match="model_final.pth'.$"):
        read_weights(tmp_path / "elsewhere" / "model_final.pth")
