import numpy as np
import pytest

from imrsf_d2.inference import blocks as blocks_module
from imrsf_d2.inference.blocks import BlockFolder, area_blocks, window_blocks
from imrsf_d2.inference.detection_files import load_detections, save_detections
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.utils.errors import OccupiedError
from tests.inference.oracle_scene import draw_scene, look_everywhere

WINDOWS = WindowGrid(500, 700, 64, 16)


def test_each_window_belongs_to_one_block_and_blocks_are_in_rows():
    blocks = window_blocks(WINDOWS, 200)
    assert sorted(w.index for block in blocks for w in block.windows) == list(range(len(WINDOWS)))
    for above, below in zip(blocks, blocks[1:]):
        if above.row != below.row:
            assert max(w.top for w in above.windows) < min(w.top for w in below.windows)


def test_areas_cover_the_scene_once_with_all_windows_that_touch_them():
    blocks = area_blocks(WINDOWS, 200, (WINDOWS.height, WINDOWS.width))
    count = np.zeros((500, 700), dtype=int)
    for block in blocks:
        top, left, bottom, right = block.area
        count[top:bottom, left:right] += 1
        assert block.windows == tuple(WINDOWS.touching(*block.area))
    assert (count == 1).all() and len(blocks) == 3 * 4


def test_detections_are_read_back_as_they_were(tmp_path):
    scene = draw_scene(0, 300, 400, halls=0, tries=80)
    found = dict(look_everywhere(scene, WindowGrid(300, 400, 128, 32)))
    found[999] = []  # looked at, nothing there
    save_detections(tmp_path / "block.npz", found)
    back = load_detections(tmp_path / "block.npz")
    assert list(back) == sorted(found)
    for index, detections in found.items():
        assert len(detections) == len(back[index])
        for one, other in zip(detections, back[index]):
            np.testing.assert_array_equal(one.mask, other.mask)
            assert [getattr(one, f) for f in ("window", "number", "label", "score", "top", "left", "sensors")] == [
                getattr(other, f) for f in ("window", "number", "label", "score", "top", "left", "sensors")
            ]


def test_a_run_is_continued_only_when_asked_for_and_only_if_it_is_the_same(tmp_path):
    blocks = window_blocks(WINDOWS, 200)
    with BlockFolder(tmp_path / "parts", {"weights": "a", "window": 64}, resume=False) as folder:
        save_detections(folder.file(blocks[2]), {})
    with pytest.raises(OccupiedError, match="--resume"):
        BlockFolder(tmp_path / "parts", {"weights": "a", "window": 64}, resume=False)
    with pytest.raises(OccupiedError, match="weights was a, now b; window was 64, now not there"):
        BlockFolder(tmp_path / "parts", {"weights": "b"}, resume=True)
    with BlockFolder(tmp_path / "parts", {"weights": "a", "window": 64}, resume=True) as again:
        assert [block.index for block in again.missing(blocks)] == [i for i in range(len(blocks)) if i != 2]
        with pytest.raises(ValueError, match="lacks"):
            again.check_complete(blocks)
        again.remove()
    assert not (tmp_path / "parts").exists()


def test_a_run_that_finished_nothing_leaves_nothing_and_stands_in_no_ones_way(tmp_path):
    with BlockFolder(tmp_path / "parts", {"weights": "a"}, resume=False):
        pass
    assert not (tmp_path / "parts").exists()
    folder = BlockFolder(tmp_path / "parts", {"weights": "a"}, resume=False)
    folder._lock.close()  # as a kill does
    with BlockFolder(tmp_path / "parts", {"weights": "b"}, resume=False) as other:
        save_detections(other.file(window_blocks(WINDOWS, 200)[0]), {})
    with BlockFolder(tmp_path / "parts", {"weights": "b"}, resume=True):
        pass


def test_a_folder_that_cannot_be_begun_is_not_left(tmp_path, monkeypatch):
    def fail(path, text):
        raise OSError("No space left on device")

    monkeypatch.setattr(blocks_module, "write_text", fail)
    with pytest.raises(OSError, match="No space"):
        BlockFolder(tmp_path / "parts", {}, resume=False)
    assert not (tmp_path / "parts").exists()


def test_a_folder_is_used_by_one_run_at_a_time_or_shared_by_all_of_them(tmp_path):
    with BlockFolder(tmp_path / "parts", {}, resume=False):
        for shared in (False, True):
            with pytest.raises(OccupiedError, match="in use"):
                BlockFolder(tmp_path / "parts", {}, resume=True, shared=shared)
    with BlockFolder(tmp_path / "parts", {}, resume=True, shared=True):
        with BlockFolder(tmp_path / "parts", {}, resume=True, shared=True) as second:
            save_detections(second.file(window_blocks(WINDOWS, 200)[0]), {})
        with pytest.raises(OccupiedError, match="in use"):
            BlockFolder(tmp_path / "parts", {}, resume=True)
    with BlockFolder(tmp_path / "parts", {}, resume=True):
        pass


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/notes.txt").write_text("mine")
    with pytest.raises(OccupiedError, match=r"holds other files \('notes.txt'\)"):
        BlockFolder(tmp_path / "parts", {}, resume=True)


def test_little_is_left_to_merge_after_the_last_block():
    windows = WindowGrid(6144, 6144, 512, 128)  # 16 rows
    blocks = window_blocks(windows, 2048)
    rows = {block.row: len({window.top for window in block.windows}) for block in blocks}
    assert list(rows.values()) == [5, 4, 3, 2, 1, 1]
