"""Output folders: what a command made is continued, what others made is left alone."""

import json

import pytest

from imrsf_d2.utils.claim import check_outside, claim_folder
from tests.folders import contents

PARAMETERS = {"size": 64, "sensors": ("a", "b")}


def claim(folder, parameters=PARAMETERS, **options):
    return claim_folder(folder, "made.json", parameters, ["data", "summary.md"], **options)


def test_a_claim_is_incomplete_until_it_is_marked(tmp_path):
    for _ in range(2):  # the second run continues the first
        claimed = claim(tmp_path / "new/out")
        assert not claimed.complete
    claimed.mark(complete=True, tiles=3)
    assert claim(tmp_path / "new/out").complete  # tuples come back from the file as lists, which is no difference
    content = json.loads((tmp_path / "new/out/made.json").read_text())
    assert content == {"complete": True, "parameters": {"size": 64, "sensors": ["a", "b"]}, "tiles": 3}


def test_a_finished_run_removes_what_killed_ones_left(tmp_path):
    claimed = claim(tmp_path)
    (tmp_path / "data.0123456789ab.tmp").write_text("half")
    claimed.mark(complete=True)
    assert set(contents(tmp_path)) == {"made.json"}


@pytest.mark.parametrize("overwrite, remedy", [(None, "delete that folder"), (False, "--overwrite")])
def test_other_parameters_are_an_error_that_names_them(tmp_path, overwrite, remedy):
    claim(tmp_path).mark(complete=True)
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=f"size was 64, now 32; speed was None, now 1.*{remedy}"):
        claim(tmp_path, {**PARAMETERS, "size": 32, "speed": 1}, overwrite=overwrite)
    assert contents(tmp_path) == before


def test_overwriting_removes_what_the_command_made_and_nothing_else(tmp_path):
    claim(tmp_path).mark(complete=True)
    (tmp_path / "data").mkdir()
    for name in ("data/a", "summary.md", "notes"):
        (tmp_path / name).write_text(name)
    assert claim(tmp_path, overwrite=True).complete and len(contents(tmp_path)) == 4  # same parameters: kept
    assert not claim(tmp_path, {"size": 32}, overwrite=True).complete
    assert set(contents(tmp_path)) == {"made.json", "notes"}
    assert not claim(tmp_path, {"size": 32}).complete


def test_a_released_folder_takes_other_parameters(tmp_path):
    claim(tmp_path).release()
    assert not claim(tmp_path, {"size": 32}).complete


@pytest.mark.parametrize("overwrite", [None, False, True])
@pytest.mark.parametrize("name", ["data/a", "summary.md"])
def test_data_of_others_are_left_alone(tmp_path, name, overwrite):
    (tmp_path / "data").mkdir()
    (tmp_path / name).write_text("mine")
    if name == "summary.md":
        (tmp_path / "data").rmdir()
    with pytest.raises(FileExistsError, match="was not written by this command"):
        claim(tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("content", ["[1]", "{", '{"complete": true}', '{"complete": true, "parameters": 3}'])
def test_a_marker_of_others_is_left_alone(tmp_path, content):
    (tmp_path / "made.json").write_text(content)
    with pytest.raises(FileExistsError, match="made.json is not what this command writes"):
        claim(tmp_path)
    assert (tmp_path / "made.json").read_text() == content


@pytest.mark.parametrize("output", ["file", "file/below/it", "link"])
def test_an_output_that_is_a_file_is_named(tmp_path, output):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(NotADirectoryError, match=f"cannot be made: {tmp_path / output.split('/')[0]} is a file") as error:
        claim(tmp_path / output)
    assert "Errno" not in str(error.value) and contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("inside", [".", "below", "new/folder", "../in", "../link/x"])
def test_the_output_must_lie_outside_the_input(tmp_path, inside):
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(ValueError, match="lies in the input"):
        check_outside(source / inside, source)
    for outside in (tmp_path, tmp_path / "other", tmp_path / "input"):
        check_outside(outside, source)
