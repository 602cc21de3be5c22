"""A COCO file is parsed once in a process, and nobody gets what another has changed, or what has been rewritten."""

import json
import os

import pytest

from imrsf_d2.data.datasets.annotation_file import read_annotation_file
from imrsf_d2.data.datasets.coco import check_coco, load_coco, read_images
from tests.raster_files import annotation

CONTENT = {
    "images": [{"id": 1, "file_name": "t.tif", "height": 32, "width": 32}],
    "annotations": [annotation(1, 1, [[2, 2, 12, 2, 12, 10, 2, 10]])],
    "categories": [{"id": 1, "name": "building"}],
}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(CONTENT))
    return tmp_path / "labels.json"


@pytest.fixture
def parses(monkeypatch):
    """Grows by one with every file that is parsed."""
    parses, load = [], json.load
    monkeypatch.setattr(json, "load", lambda file: parses.append(file.name) or load(file))
    return parses


def test_a_file_is_parsed_once_whoever_reads_it_by_whatever_path(path, parses, monkeypatch):
    monkeypatch.chdir(path.parent)
    for _ in range(3):
        load_coco(path, {1: "building"})
        load_coco(str(path), [1])
        check_coco(path, [1])
        read_images("labels.json")
        assert read_annotation_file(path) == CONTENT
    assert parses == [str(path)]


def test_a_byte_order_mark_is_no_content(path):
    before = read_annotation_file(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_annotation_file(path) == before


def test_what_one_reader_changes_no_other_sees(path):
    first = load_coco(path, [1])
    first[0]["annotations"][0]["segmentation"][0][0] = -99
    first[0]["annotations"][0]["category_id"] = first[0]["city"] = 7
    read_annotation_file(path)["annotations"][0]["segmentation"].clear()
    assert load_coco(path, [1])[0]["annotations"][0]["segmentation"] == CONTENT["annotations"][0]["segmentation"]
    assert "city" not in load_coco(path, [1])[0] and load_coco(path, [1])[0]["annotations"][0]["category_id"] == 0


@pytest.mark.parametrize("in_place", [True, False])
def test_a_rewritten_file_of_the_same_length_is_read_again(path, in_place):
    assert load_coco(path, [1])[0]["file_name"] == "t.tif"
    before, other = path.stat(), path.with_suffix(".new")
    (path if in_place else other).write_text(path.read_text().replace("t.tif", "u.tif"))
    if not in_place:
        other.replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + in_place))
    assert load_coco(path, [1])[0]["file_name"] == "u.tif"


def test_a_file_is_checked_for_every_choice_of_classes_and_again_after_a_refusal(path):
    load_coco(path, [1])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"has category_id 1, expected one of \[2\]"):
            load_coco(path, [2])
