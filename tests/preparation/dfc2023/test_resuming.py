"""A second run: after a kill, a changed input, a lost output, or none of these."""

import json
import os
import signal

import numpy as np
import pytest

from imrsf_d2.data.datasets.dfc2023 import load_dfc2023
from imrsf_d2.preparation.dfc2023 import crops
from imrsf_d2.preparation.dfc2023.prepare import prepare_dfc2023
from tests.folders import contents
from tests.preparation.dfc2023.source_files import CROP, LABELS, NEWYORK, RIO, SIZE, crop_names
from tests.raster_files import write_raster_file


def test_a_second_run_does_nothing(source, tmp_path):
    first = prepare_dfc2023(source, tmp_path, tile_size=CROP, num_workers=1)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "track2").rglob("*") if path.is_file()}
    second = prepare_dfc2023(source, tmp_path, tile_size=CROP, num_workers=1)
    assert (first.cut, second.cut) == (3, 0) and second.summary == first.summary
    assert {path: path.stat().st_mtime_ns for path in times} == times and len(times) == 23


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("killed_at", [2, 13, 18])
def test_a_killed_run_resumed_equals_an_uninterrupted_one(source, output, tmp_path, killed_at):
    folder = tmp_path / "out"
    child = os.fork()
    if child == 0:  # killed in the middle of a file, as by a full memory
        original, calls = crops._copy_description, []

        def die(*arguments):
            original(*arguments)
            calls.append(1)
            if len(calls) == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

        crops._copy_description = die
        try:
            prepare_dfc2023(source, folder, tile_size=CROP, num_workers=1)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (folder / LABELS).exists() and not json.loads((folder / "prepared.json").read_text())["complete"]
    # In the order of the source's ids: Rio with 4 files, New York with 6, Berlin with 12.
    finished = {2: 0, 13: 2, 18: 2}[killed_at]
    times = {path: path.stat().st_mtime_ns for path in (folder / "track2/train/sar").glob("SV_Rio*.tif")}
    outcome = prepare_dfc2023(source, folder, tile_size=CROP, num_workers=1)
    assert outcome.cut == 3 - finished
    assert contents(folder) == contents(output)
    if finished:
        assert len(times) == 4 and {path: path.stat().st_mtime_ns for path in times} == times


def test_what_changed_in_the_input_or_was_lost_from_the_output_is_done_again(own_source, tmp_path):
    run = lambda: prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)  # noqa: E731
    run()
    train = tmp_path / "out/track2/train"
    lost = train / "sar" / crop_names(RIO)[2]
    before = lost.read_bytes()
    lost.unlink()
    assert run().cut == 1 and lost.read_bytes() == before
    lost.write_bytes(before[:-9])
    assert run().cut == 1 and lost.read_bytes() == before

    height = write_raster_file(own_source / "track2/train/dsm" / NEWYORK, np.ones((SIZE, SIZE), dtype=np.float32))
    assert run().cut == 1
    # The height fills the crop in which nothing else has data.
    assert all((train / "dsm" / name).is_file() for name in crop_names(NEWYORK))
    assert len(load_dfc2023(tmp_path / "out", "train")) == 8
    height.unlink()
    assert run().cut == 1
    assert not any((train / "dsm" / name).exists() for name in crop_names(NEWYORK))
    assert not (train / "rgb" / f"{NEWYORK[:-4]}_0_1.tif").exists()
    assert len(load_dfc2023(tmp_path / "out", "train")) == 7


def test_a_finished_output_that_must_change_has_no_labels_until_it_is_whole_again(own_source, tmp_path):
    out = tmp_path / "out"
    run = lambda: prepare_dfc2023(own_source, out, tile_size=CROP, num_workers=1)  # noqa: E731
    run()
    labels, sar = (out / LABELS).read_bytes(), own_source / "track2/train/sar" / RIO
    whole = sar.read_bytes()
    sar.write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 3 tiles cannot be cut"):
        run()
    assert not (out / LABELS).exists() and not json.loads((out / "prepared.json").read_text())["complete"]
    sar.write_bytes(whole)
    assert run().cut == 1 and (out / LABELS).read_bytes() == labels
    assert json.loads((out / "prepared.json").read_text())["complete"]
