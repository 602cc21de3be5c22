"""What is uploaded: a source distribution of the whole repository, and a wheel of the package alone."""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import PurePosixPath

import pytest

from tests.tiny import REPOSITORY

BUILD = "import sys; from setuptools import build_meta; {}(sys.argv[1])"


def build(hook, source, folder):
    """The file that a hook of the build backend, such as build_wheel, makes of a source tree."""
    folder.mkdir()
    command = [sys.executable, "-c", BUILD.format(f"build_meta.{hook}"), folder]
    subprocess.run(command, cwd=source, check=True, timeout=300, capture_output=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def tracked():
    """The files that the repository tracks."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (REPOSITORY / name).is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory, tracked):
    """A copy of them, since a build leaves files beside the sources."""
    root = tmp_path_factory.mktemp("tree")
    for name in tracked:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((REPOSITORY / name).read_bytes())
    return root


@pytest.fixture(scope="module")
def sdist(tmp_path_factory, tree):
    """What the source distribution unpacks to."""
    root = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("build_sdist", tree, root / "built")) as archive:
        archive.extractall(root, filter="data")
    (unpacked,) = root.glob("imrsf_d2-*")
    return unpacked


def files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.slow
def test_the_source_distribution_holds_the_repository(sdist, tracked):
    held = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    assert {name for name in tracked - held if not PurePosixPath(name).name.startswith(".")} == set()


@pytest.mark.slow
def test_the_wheel_holds_the_package_alone_from_the_tree_as_from_the_source_distribution(tmp_path, sdist, tree, tracked):
    wheel = build("build_wheel", tree, tmp_path / "tree")
    held = files(wheel)
    assert held == files(build("build_wheel", sdist, tmp_path / "sdist"))
    (metadata,) = (name for name in held if name.endswith(".dist-info/METADATA"))
    packaged = {name for name in held if not name.startswith(metadata.removesuffix("METADATA"))}
    # The configs lie where Detectron2's users look for them, and travel inside the package.
    configs = {f"imrsf_d2/{name}" for name in tracked if name.startswith("configs/") and name.endswith(".yaml")}
    assert packaged == configs | {name for name in tracked if name.startswith("imrsf_d2/")}
    with zipfile.ZipFile(wheel) as archive:
        fields = message_from_string(archive.read(metadata).decode())
        commands = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert "imrsf = imrsf_d2.cli:main" in commands
    assert fields["License-Expression"] == "Apache-2.0" and fields["License-File"] == "LICENSE"
    assert fields["Summary"] and fields["Description-Content-Type"] == "text/markdown" and fields.get_payload().strip()
