"""Draw docs/scenes.png: one town, mapped from sensors that are missing, cover a part, or come in pixels of their own.

Usage:
    python -m projects.scenes.pictures --config-file configs/demo/dfc2023_instance.yaml --output output/pictures \\
        MODEL.WEIGHTS output/demo/train/model_final.pth

The last picture shows how a building is put together that is larger than a window. A model trained on tiles of 128 px has
never seen one, so there each window is given the true mask of what it shows.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import shapely
from rasterio.transform import Affine

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.scene_predictor import build_scene_predictor, training_window
from imrsf_d2.evaluation.map_scores import PlacedMask
from imrsf_d2.evaluation.map_truth import read_buildings
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.merging import merge
from imrsf_d2.inference.outlines import outline
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.scene_predictor import ScenePredictor
from imrsf_d2.inference.windows import Window, WindowGrid
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.synthetic.whole_scene import FOOTPRINTS, SensorGrid, write_scene
from imrsf_d2.visualization.maps import MapPanel, draw_maps
from imrsf_d2.visualization.views import backdrop
from projects.scenes.agreement import clipped

SIZE = 512
ALL = ("sar", "rgb", "dsm")


@dataclass(frozen=True)
class Case:
    """One picture: which sensors there are, in which pixels, and which of them is shown below the outlines."""

    heading: str
    shown: str
    sensors: tuple[str, ...] = ALL
    grids: Mapping[str, SensorGrid] = field(default_factory=dict)


CASES = (
    Case("RGB missing", "dsm", ("sar", "dsm")),
    Case("SAR and DSM of the western half", "dsm", ALL, {"sar": SensorGrid(cover=0.5), "dsm": SensorGrid(cover=0.5)}),
    Case("SAR of 10 m beside 0.5 m", "sar", ALL, {"sar": SensorGrid(resolution=10.0)}),
    Case(
        "SAR and DSM in other systems",
        "dsm",
        ALL,
        {"sar": SensorGrid(resolution=1.0, crs="EPSG:3857"), "dsm": SensorGrid(resolution=1.0, crs="EPSG:32722")},
    ),
    Case("holes in all sensors", "rgb", ALL, {name: SensorGrid(holes=7) for name in ALL}),
)


def mapped(case: Case, model: ScenePredictor, folder: Path) -> MapPanel:
    """The map of a town as a model makes it."""
    write_scene(folder, size=SIZE, seed=1, halls=0, grids=case.grids)
    files = {name: str(folder / f"{name}.tif") for name in case.sensors}
    features = model.predict(files, reference="rgb" if "rgb" in case.sensors else "dsm")
    to_pixels = ~features.grid.transform
    found = [
        shapely.transform(feature.geometry, lambda points: np.column_stack(to_pixels * points.T)) for feature in features
    ]
    buildings = read_buildings(folder / FOOTPRINTS, features.grid)
    return _panel(case, model.modalities, folder, buildings, found, f"{len(found)} objects, {len(buildings)} buildings")


def true_hall(modalities: ModalitySet, window: int, folder: Path) -> MapPanel:
    """The map of a hall, of windows that see the truth."""
    write_scene(folder, size=SIZE, seed=1, halls=1)
    scene = open_scene(modalities, {"rgb": [str(folder / "rgb.tif")]})
    buildings = read_buildings(folder / FOOTPRINTS, scene.grid)
    windows = WindowGrid(*scene.grid.shape, window, window // 4)
    objects = list(chain.from_iterable(merge(windows, ((one.index, _truth(one, buildings)) for one in windows))))
    case = Case(f"a hall wider than a window of {window} px", "rgb", ("rgb",))
    found = [outline(one.mask, Affine.translation(one.left, one.top)) for one in objects]
    note = f"{len(found)} objects, {len(buildings)} buildings; from true masks"
    return _panel(case, modalities, folder, buildings, found, note)


def _truth(window: Window, buildings: Sequence[PlacedMask]) -> list[Detection]:
    parts = [part for one in buildings if (part := clipped(one, window)) is not None]
    found = []
    for number, part in enumerate(parts):
        rows, columns = np.flatnonzero(part.mask.any(1)), np.flatnonzero(part.mask.any(0))
        mask = part.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        top, left = window.top + part.top + int(rows[0]), window.left + part.left + int(columns[0])
        found.append(Detection(window.index, number, 0, 1.0, top, left, mask))
    return found


def _panel(
    case: Case, modalities: ModalitySet, folder: Path, buildings: Sequence[PlacedMask], found: Sequence, note: str
) -> MapPanel:
    # On the pixels of the sensor that has those of the town in all cases but one.
    reference = next(name for name in ("rgb", "dsm") if name not in case.grids or case.grids[name].holes)
    files = {name: [str(folder / f"{name}.tif")] for name in {case.shown, reference}}
    picture = open_scene(modalities, files, reference=reference).read(Window(0, 0, 0, SIZE))
    assert picture is not None
    truth = [outline(one.mask, Affine.translation(one.left, one.top)) for one in buildings]
    picture_of = f"over {case.shown.upper()}: {note}"
    return MapPanel(case.heading, backdrop(picture, modalities, (case.shown,)), truth, found, picture_of)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--output", required=True, type=Path, help="folder for the scenes and scenes.png")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args()
    cfg = load_config(args.config_file, args.opts)
    model = build_scene_predictor(cfg)
    panels = [mapped(case, model, args.output / f"scene_{number}") for number, case in enumerate(CASES)]
    panels.append(true_hall(model.modalities, training_window(cfg), args.output / "hall"))
    draw_maps(args.output / "scenes.png", panels, "One town, whatever its sensors", columns=3, panel=3.3)


if __name__ == "__main__":
    main()
