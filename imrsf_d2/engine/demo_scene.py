"""The end of the demo: its model maps a whole synthetic scene, with all sensors and with one missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from detectron2.config import CfgNode
from rasterio.transform import Affine
from torch import nn

from imrsf_d2.engine.scene_predictor import class_names, training_window
from imrsf_d2.evaluation.map_scores import PlacedMask, score_masks
from imrsf_d2.evaluation.map_truth import read_buildings
from imrsf_d2.evaluation.tables import markdown_table, subset_ticks
from imrsf_d2.inference.merging import MergedObject, merge
from imrsf_d2.inference.objects import features
from imrsf_d2.inference.outlines import outline
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.scene_predictor import ScenePredictor
from imrsf_d2.inference.vector_files import write_features
from imrsf_d2.inference.windows import Window, WindowGrid
from imrsf_d2.modalities import ModalitySet, subset_label, subset_title
from imrsf_d2.utils.precision import autocast
from imrsf_d2.visualization.maps import MapPanel, draw_maps
from imrsf_d2.visualization.views import backdrop

__all__ = ["SceneMap", "describe_maps", "map_demo_scene"]

#: Objects of the map have this score; for AP, which looks at all scores, also what is probably wrong counts.
MAP_SCORE, AP_SCORE = 0.5, 0.05
FOOTPRINTS = "footprints.gpkg"


@dataclass(frozen=True)
class SceneMap:
    """What became of a scene.

    Args:
        subset: the sensors that the model was given.
        file: the GeoPackage.
        buildings: of the ground truth.
        objects: in the map.
        ap50: mask AP50 of the whole scene, percent.
    """

    subset: tuple[str, ...]
    file: Path
    buildings: int
    objects: int
    ap50: float


def map_demo_scene(cfg: CfgNode, model: nn.Module, folder: Path, output: Path) -> list[SceneMap]:
    """Map a scene with all sensors and without RGB, as `imrsf predict` does, and draw both maps.

    Args:
        cfg: of an instance model.
        model: with its weights loaded.
        folder: of the scene: a raster per sensor, and the buildings in footprints.gpkg.
        output: gets `<subset>.gpkg` for each map, and scene.png.
    """
    modalities = ModalitySet.from_config(cfg)
    window, classes = training_window(cfg), class_names(cfg)
    predictor = ScenePredictor(
        model, modalities=modalities, classes=classes, precision=partial(autocast, cfg), window=window, min_score=AP_SCORE
    )
    model_of_windows = predictor.windows(instances=True)
    maps, panels = [], []
    for subset in (modalities.names, tuple(name for name in modalities.names if name != "rgb")):
        scene = open_scene(modalities, {name: [str(folder / f"{name}.tif")] for name in subset})
        windows = WindowGrid(*scene.grid.shape, window, -(-window // 4))
        found = [(result.window.index, result.detections) for result in model_of_windows.run(scene, windows)]
        buildings = read_buildings(folder / FOOTPRINTS, scene.grid)
        scored = [PlacedMask(o.top, o.left, o.mask, o.score) for some in merge(windows, found) for o in some]
        sure = [(index, [d for d in detections if d.score >= MAP_SCORE]) for index, detections in found]
        objects = [one for some in merge(windows, sure) for one in some]
        file = output / f"{subset_label(subset)}.gpkg"
        assert scene.grid.crs is not None  # see `open_scene`
        write_features(file, features(scene, [objects], classes.names), scene.grid.crs)
        ap50 = score_masks([(scene.grid.shape, buildings, scored)])["AP50"]
        maps.append(SceneMap(subset, file, len(buildings), len(objects), ap50))
        picture = scene.read(Window(0, 0, 0, max(scene.grid.shape)))
        assert picture is not None  # sensors that hold nothing are refused when a scene is opened
        panels.append(
            MapPanel(
                subset_title(subset),
                backdrop(picture, modalities, subset),
                [_in_pixels(one) for one in buildings],
                [_in_pixels(one) for one in objects],
                f"{len(objects)} objects in the map, {len(buildings)} buildings in the scene; AP50 {ap50 / 100:.2f}",
            )
        )
    draw_maps(output / "scene.png", panels, "A scene mapped whole by the same model")
    return maps


def describe_maps(maps: Sequence[SceneMap], names: Sequence[str], root: Path) -> str:
    """A section of a Markdown report.

    Args:
        maps: of one scene.
        names: the modalities, in the order of their columns.
        root: the report's folder, which holds the maps.
    """
    rows = [
        [*subset_ticks(one.subset, names), str(one.objects), f"{one.ap50 / 100:.3f}", str(one.file.relative_to(root))]
        for one in maps
    ]
    table = markdown_table([*(n.upper() for n in names), "objects", "AP50", "map"], rows, centered=len(names))
    picture = (maps[0].file.parent / "scene.png").relative_to(root)
    return "\n".join(
        [
            "## A scene, mapped whole",
            "",
            f"The same model on a town of {maps[0].buildings} buildings, larger than any tile: window by window, and each building "
            f"once. Objects have a score of {MAP_SCORE:g} or more; AP50 is that of the whole scene, with all scores above "
            f"{AP_SCORE:g}. The maps are GeoPackages that QGIS opens.",
            "",
            table,
            "",
            f"![the maps of the scene]({picture})",
        ]
    )


def _in_pixels(one: PlacedMask | MergedObject):
    return outline(one.mask, Affine.translation(one.left, one.top))
