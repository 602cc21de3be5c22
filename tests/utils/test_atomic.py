"""Files that are complete or absent: two writers, a kill, a mistake while writing."""

import errno
import os
import stat
import threading
import time

import numpy as np
import pytest
import rasterio

from imrsf_d2.geo.writing import write_raster
from imrsf_d2.utils import atomic
from imrsf_d2.utils.atomic import remove_temporaries, replacing, replacing_together, write_atomically, write_text

OLD = 25 * 3600


@pytest.fixture
def forgetful():
    """As in a new process, which looks once into each folder that it writes to."""
    atomic._remove_abandoned.cache_clear()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_writers_of_one_file_never_publish_half_of_it(tmp_path):
    path, contents, failures = tmp_path / "file", [b"a" * 70_000, b"b" * 50_000], []
    write_atomically(path, lambda file: file.write(contents[0]))

    def write_many(content):
        def in_pieces(file):
            for start in range(0, len(content), 10_000):
                file.write(content[start : start + 10_000])
                file.flush()
                os.sched_yield()

        try:
            for _ in range(40):
                write_atomically(path, in_pieces)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write_many, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_bytes())
    assert not failures and seen <= set(contents)
    assert path.read_bytes() in contents and names(tmp_path) == ["file"]


def test_the_second_of_two_overlapping_writers_does_not_touch_what_the_first_writes(tmp_path):
    with replacing(tmp_path / "file") as first, replacing(tmp_path / "file") as second:
        for name, content in ((first, "of the first"), (second, "of the second")):
            with open(name, "x") as file:
                file.write(content)
        assert first != second and open(first).read() == "of the first"
    assert (tmp_path / "file").read_text() == "of the first"  # which ended last
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_file_has_the_permissions_of_any_other(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "ours", "text")
        write_raster(tmp_path / "ours.tif", np.zeros((4, 4), np.uint8))
        (tmp_path / "plain").write_text("text")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["ours", "ours.tif", "plain"], 0o666 & ~umask)


def test_an_error_while_writing_leaves_what_stood_there_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "file", "before")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as temporary:
        with open(temporary, "w") as file:
            file.write("half")
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file"):
        1 / 0  # before there was a file
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "before"


def test_what_a_kill_left_is_removed_when_it_is_a_day_old(tmp_path, forgetful):
    left = ["model.pth.0123456789ab.tmp", "model.pth.ba9876543210.tmp"]
    others = ["notes.tmp", "0123456789ab.tmp", "a.0123456789AB.tmp", "model.pth.0123456789ab.tmp.txt"]
    for name in (*left, *others):
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (time.time() - OLD,) * 2)
    os.utime(tmp_path / left[1])  # which somebody may be writing
    write_text(tmp_path / "other file", "text")
    assert names(tmp_path) == sorted([left[1], *others, "other file"])


def test_a_folder_is_searched_for_leftovers_once(tmp_path, forgetful, monkeypatch):
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or scandir(folder))
    for number in range(5):
        write_text(tmp_path / "below" / f"{number}.txt", "")
    assert listed == [str(tmp_path / "below")]


def test_a_raster_is_written_under_a_name_that_says_nothing_of_its_format(tmp_path):
    write_raster(tmp_path / "tile.tif", np.full((2, 3, 4), 7, np.uint16))
    with rasterio.open(tmp_path / "tile.tif") as file:
        assert file.driver == "GTiff" and (file.read() == 7).all()
    assert names(tmp_path) == ["tile.tif"]


def test_what_kills_left_below_a_folder_is_removed_and_nothing_else(tmp_path):
    keep = [tmp_path / "a.tif", tmp_path / "deep/b.tmp", tmp_path / "deep/c.0123456789ab.tif"]
    gone = [tmp_path / "a.tif.0123456789ab.tmp", tmp_path / "deep/b.json.ba9876543210.tmp"]
    (tmp_path / "deep").mkdir()
    for path in keep + gone:
        path.touch()
    remove_temporaries(tmp_path)
    assert all(path.exists() for path in keep) and not any(path.exists() for path in gone)


def test_files_that_belong_together_appear_together_or_not_at_all(tmp_path):
    for content in ("old", "new"):
        with replacing_together(tmp_path / "making") as made_at:
            for name in ("map.tif", "map.png"):
                with open(made_at(tmp_path / name), "w") as file:
                    file.write(content)
            assert names(tmp_path / "making") == ["map.png", "map.tif"]
    assert names(tmp_path) == ["map.png", "map.tif"] and (tmp_path / "map.tif").read_text() == "new"
    with pytest.raises(RuntimeError), replacing_together(tmp_path / "making") as made_at:
        with open(made_at(tmp_path / "map.tif"), "w") as file:
            file.write("broken")
        made_at(tmp_path / "map.png")
        raise RuntimeError
    assert names(tmp_path) == ["map.png", "map.tif"] and (tmp_path / "map.tif").read_text() == "new"


def test_the_first_of_them_is_the_last_to_appear(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(atomic.os, "replace", lambda made, path: order.append(os.path.basename(path)))
    with replacing_together(tmp_path / "making") as made_at:
        made_at(tmp_path / "map.tif"), made_at(tmp_path / "map.png")
    assert order == ["map.png", "map.tif"]


def test_what_a_kill_left_of_them_is_removed(tmp_path):
    (tmp_path / "making").mkdir()
    (tmp_path / "making/map.tif").write_text("half")
    with replacing_together(tmp_path / "making"):
        assert names(tmp_path / "making") == []
    assert names(tmp_path) == []


@pytest.mark.parametrize("other_disk", [False, True])
def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path, monkeypatch, other_disk):
    (tmp_path / "store").mkdir()
    places = {"one": "store/one", "two": "store/two", "new": "store/not yet/new"}
    for name, place in places.items():
        (tmp_path / name).symlink_to(tmp_path / place)
    (tmp_path / "store/one").write_text("old"), (tmp_path / "store/two").write_text("old")
    real = os.replace

    def replace(source, target):
        if other_disk and os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    write_text(tmp_path / "one", "1")
    with replacing_together(tmp_path / "work") as made_at:
        for name in ("two", "new"):
            with open(made_at(tmp_path / name), "w") as file:
                file.write("2")
    assert all((tmp_path / name).is_symlink() for name in places)
    assert [(tmp_path / place).read_text() for place in places.values()] == ["1", "2", "2"]
    assert names(tmp_path) == ["new", "one", "store", "two"] and names(tmp_path / "store") == ["not yet", "one", "two"]


def test_a_full_disk_is_said_with_the_file_it_is_about(tmp_path):
    def fail(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*file'"):
        write_atomically(tmp_path / "file", fail)
