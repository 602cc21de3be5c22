"""Size and time of change of files, and of rasters that are folders; and what stands for a content."""

import hashlib
import os

from imrsf_d2.utils.file_state import file_digest, file_state


def test_a_file_has_its_size_and_time(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"four")
    os.utime(path, ns=(0, 5_000_000_007))
    assert file_state(path) == (4, 5_000_000_007)
    assert file_state(tmp_path / "gone.tif") is None and file_state("/vsizip/a.zip/a.tif") is None


def test_a_change_deep_in_a_folder_is_one_of_the_raster(tmp_path):
    for name, content in (("band/0.0", b"12"), ("band/0.1", b"345"), (".zgroup", b"{}")):
        path = tmp_path / "a.zarr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(0, 1000))
    assert file_state(tmp_path / "a.zarr") == (7, 1000)
    os.utime(tmp_path / "a.zarr/band/0.0", ns=(0, 2000))  # written again, with the same size
    assert file_state(tmp_path / "a.zarr") == (7, 2000)
    (tmp_path / "a.zarr/band/0.1").unlink()
    assert file_state(tmp_path / "a.zarr") == (4, 2000)


def test_a_digest_is_that_of_the_whole_content_alone(tmp_path):
    content = bytes(range(256)) * 20_000
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(content)
    os.utime(tmp_path / "a.pth", ns=(0, 1000))
    assert file_digest(tmp_path / "a.pth") == file_digest(str(tmp_path / "b.pth")) == hashlib.sha256(content).hexdigest()
    (tmp_path / "b.pth").write_bytes(content[:-1] + b"x")
    assert file_digest(tmp_path / "a.pth") != file_digest(tmp_path / "b.pth")
