"""`imrsf predict` as a user calls it, with a small model of random weights on a small scene of three sensors."""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.modeling import build_model
from rasterio.transform import from_origin

from imrsf_d2.commands.predict import main
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.inference import plan
from tests.inference.scene_files import LEFT, TOP, write
from tests.tiny import DEMO_CONFIGS, OVERRIDES

#: Of the scene's finest sensors.
HEIGHT, WIDTH, PLACE = 240, 320, from_origin(LEFT, TOP, 0.5, 0.5)
SENSORS = ("rgb", "sar", "dsm")


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it has said."""

    code: int
    said: str
    warned: str


@functools.cache
def checkpoint(task: str = "instance") -> Path:
    """A checkpoint of the tiny model of a task."""
    torch.manual_seed(0)
    model = build_model(load_config(DEMO_CONFIGS[task], [*OVERRIDES, "MODEL.DEVICE", "cpu"]))
    path = Path(_folder().name) / f"{task}.pth"
    torch.save({"model": model.state_dict()}, path)
    return path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


def noise(rng, bands, height, width):
    return rng.integers(1, 255, (bands, height, width), dtype=np.uint8)


def write_sensors(folder: Path) -> list[str]:
    """Arguments for a scene of three sensors: RGB all over, SAR on its left half, DSM in coarser pixels."""
    rng = np.random.default_rng(0)

    def fields(bands, rows, columns, side):
        return np.kron(rng.random((bands, rows, columns)), np.ones((1, side, side)))

    write(folder / "rgb.tif", (1 + 250 * fields(3, 12, 16, 20)).astype(np.uint8), PLACE)
    write(folder / "sar.tif", (0.05 + fields(1, 12, 8, 20)).astype(np.float32), PLACE)
    write(folder / "dsm.tif", (10 * fields(1, 12, 16, 10)).astype(np.float32), from_origin(LEFT, TOP, 1.0, 1.0))
    return sensors_in(folder)


def sensors_in(folder: Path, names=SENSORS) -> list[str]:
    return [part for name in names for part in ("--modality", f"{name}={folder / f'{name}.tif'}")]


def words(output, *arguments, task="instance", weights=None, opts=()) -> list[str]:
    """What is typed after the command's name; `opts` are changes to the config."""
    given = ["--config-file", DEMO_CONFIGS[task], "--output", output, *arguments, *OVERRIDES, "MODEL.DEVICE", "cpu"]
    return [str(word) for word in (*given, "MODEL.WEIGHTS", weights or checkpoint(task), *opts)]


def predict(output, *arguments, **options) -> Done:
    """Run the command in this process; see `words`."""
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as warned:
        try:
            code = main(words(output, *arguments, **options))
        except SystemExit as end:  # the parser's
            code = int(end.code or 0)
    return Done(code, said.getvalue(), warned.getvalue())


def set_block_side(side: int, patch=setattr) -> None:
    """Blocks of another side, px, so that a small scene has several; with monkeypatch.setattr, until the test is over."""
    patch(plan, "BLOCK_PX", side)


def left_in(folder: Path) -> list[str]:
    """Names of what is in a folder beside the sensors' files, and the class names that go with a label map."""
    return sorted(p.name for p in folder.iterdir() if p.stem not in SENSORS and p.suffix != ".xml")
