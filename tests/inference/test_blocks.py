import numpy as np
import pytest

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
    blocks = area_blocks(WINDOWS, 200)
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
    folder = BlockFolder(tmp_path / "parts", {"weights": "a", "window": 64}, resume=False)
    blocks = window_blocks(WINDOWS, 200)
    save_detections(folder.file(blocks[2]), {})
    with pytest.raises(OccupiedError, match="--resume"):
        BlockFolder(tmp_path / "parts", {"weights": "a", "window": 64}, resume=False)
    with pytest.raises(OccupiedError, match="weights was 'a', now 'b'"):
        BlockFolder(tmp_path / "parts", {"weights": "b", "window": 64}, resume=True)
    again = BlockFolder(tmp_path / "parts", {"weights": "a", "window": 64}, resume=True)
    assert [block.index for block in again.missing(blocks)] == [i for i in range(len(blocks)) if i != 2]
    with pytest.raises(ValueError, match="lacks"):
        again.check_complete(blocks)
    again.remove()
    assert not (tmp_path / "parts").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/notes.txt").write_text("mine")
    with pytest.raises(OccupiedError, match="holds other files"):
        BlockFolder(tmp_path / "parts", {}, resume=True)
