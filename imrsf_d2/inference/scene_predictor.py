"""From Python: a model and the sensors of a scene to its objects, as they become final, or to its label map."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.windows import Window
from torch import nn

from imrsf_d2.data.object_limits import DETECTIONS, QUERIES
from imrsf_d2.geo.grids import Grid
from imrsf_d2.inference.class_names import ClassNames
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.label_blocks import blend_labels
from imrsf_d2.inference.label_maps import NO_LABEL, check_label_map_name, label_map
from imrsf_d2.inference.mapping import Progress, find_objects, results_by_block
from imrsf_d2.inference.opening import open_sensors
from imrsf_d2.inference.plan import ScenePlan, Settings
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene_checks import check_scene_values
from imrsf_d2.inference.sensors import NamedRasters
from imrsf_d2.inference.vector_files import Feature
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.parts import find_part

__all__ = ["LabelMap", "SceneFeatures", "ScenePredictor", "predict_scene"]

#: Gets the windows done, those in all, the objects found, and the seconds that the rest will take; see `Progress`.
Tell = Callable[[int, int, int, float], None]


class SceneFeatures(Iterator[Feature]):
    """The objects of a scene, each once and as soon as no later window can change it.

    They are computed while they are asked for, so that what is in memory follows the front of the windows, not the scene.
    Who needs no more of them lets go of this object, or closes it.

    Args:
        grid: of the map: its pixels, and the coordinate system of the features' geometries.
        found: the features.
    """

    def __init__(self, grid: Grid, found: Generator[Feature, None, None]):
        self.grid, self._found = grid, found

    @property
    def crs(self) -> CRS:
        """The coordinate system of the geometries."""
        assert self.grid.crs is not None  # see `open_scene`
        return self.grid.crs

    def __next__(self) -> Feature:
        return next(self._found)

    def close(self) -> None:
        """Stop the model and the reading; nothing comes any more."""
        self._found.close()


@dataclass(frozen=True, eq=False)
class LabelMap:
    """The classes of a scene's pixels.

    Args:
        labels: [H, W] uint8 class indices; 255 where no sensor has data, or nothing was asked for.
        grid: its pixels, with `transform` and `crs`.
        classes: their names and colors.
    """

    labels: np.ndarray
    grid: Grid
    classes: ClassNames

    def write(self, path: str | os.PathLike) -> None:
        """Write it as a Cloud-Optimized GeoTIFF with palette and names, as `imrsf predict` does.

        Raises:
            ValueError: if the name does not end in .tif.
        """
        check_label_map_name(path)
        with label_map(path, self.grid, self.classes.names, self.classes.colors) as write:
            write(self.labels, Window(0, 0, self.grid.width, self.grid.height))


class ScenePredictor:
    """Maps scenes of any extent with one model, as `imrsf predict` does, from Python and in memory.

    The counterpart of Detectron2's `DefaultPredictor`, whose image is a scene:

        from imrsf_d2.engine.configuration import load_config
        from imrsf_d2.engine.scene_predictor import build_scene_predictor
        from imrsf_d2.inference import write_features

        cfg = load_config("configs/dfc2023_instance.yaml", ["MODEL.WEIGHTS", "output/instance/model_final.pth"])
        predictor = build_scene_predictor(cfg, min_area=10)
        for city in ("berlin", "paris"):
            buildings = predictor.predict({"rgb": f"{city}/rgb.tif", "sar": f"{city}/sar/*.tif"})  # without "dsm": missing
            write_features(f"{city}.gpkg", buildings, buildings.crs)

    Args:
        model: MaskFormer with a backbone of this project, or what takes and gives the same (see `WindowPredictor`), with its
            weights loaded, on its device; it is put in evaluation mode.
        modalities: the model's; None for those of its backbone.
        classes: names of the model's classes; None for those of the dataset it was built for (`model.metadata`), or numbers.
        precision: makes the context that the model computes in, e.g. `lambda: torch.autocast("cuda", torch.bfloat16)`.
        batch_size: windows that go through the model together.
        num_workers: processes that read files and make objects of masks, for a fast GPU; see `WindowPredictor`. A script that
            asks for some must do its work below `if __name__ == "__main__":`, as they load it, too.
        window: side of what the model sees at a time, px: that of its training crops.
        overlap: of neighboring windows, px; None for a quarter of `window`, the least.
        min_score: objects below it are left out.
        min_area: smaller objects are left out, m2.
        simplify: how far outlines may be moved to have fewer corners, in units of the map; 0 keeps each pixel's edges.

    Raises:
        ValueError: if a number is out of range, or the model does not say what is not given.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        modalities: ModalitySet | None = None,
        classes: Sequence[str] | ClassNames | None = None,
        precision: Callable[[], AbstractContextManager] = nullcontext,
        batch_size: int = 4,
        num_workers: int = 0,
        window: int = Settings.window,
        overlap: int | None = Settings.overlap,
        min_score: float = Settings.min_score,
        min_area: float = Settings.min_area,
        simplify: float = Settings.simplify,
    ):
        self.model, self.precision, self.batch_size, self.num_workers = model, precision, batch_size, num_workers
        self.settings = Settings(window, overlap, min_score, min_area, simplify)
        self.modalities = modalities or _modalities(model)
        self._classes = classes

    def predict(self, sensors: Mapping[str, Any], *, progress: Tell | None = None, **where: Any) -> SceneFeatures:
        """The objects of a scene.

        The sensors are looked at before this returns; they are read, and the model runs, while features are asked for. So
        files must stay, and a dataset in memory must stay open, until the last one has come.

        Args:
            sensors: name of a modality -> its rasters, of any grid and extent: see `NamedRasters`. Those left out are missing.
            progress: told every ten seconds and at the end: windows done, windows in all, objects found in them, seconds that
                the rest will take.
            where: `reference`, `crs`, `resolution`, `bounds`, `area`, `assume_crs`: see `open_sensors`.

        Raises:
            ValueError, MissingFileError: see `NamedRasters`, `open_sensors` and `check_scene_values`, which warns of values that
                the model was not trained on. What else is wrong with the content of a raster is raised when it is read.
        """
        rasters = NamedRasters(self.modalities, sensors)
        scene = open_sensors(self.modalities, rasters, windows=self.settings.windows, **where)
        check_scene_values(scene)
        plan = ScenePlan(scene, self.settings, self.class_names(instances=True).names, instances=True)
        told = Progress(sum(len(block.windows) for block in plan.blocks), progress or (lambda *_: None))
        return SceneFeatures(scene.grid, _features(plan, self.windows(instances=True), told, rasters))

    def label_map(self, sensors: Mapping[str, Any], *, progress: Tell | None = None, **where: Any) -> LabelMap:
        """The classes of a scene's pixels, of a semantic model; in memory, a byte for each pixel of the map.

        Args:
            sensors, progress, where: see `predict`.

        Raises:
            ValueError, MissingFileError: see `predict`; here, what is wrong with the content of a raster, too.
        """
        rasters = NamedRasters(self.modalities, sensors)
        scene = open_sensors(self.modalities, rasters, **where)
        check_scene_values(scene)
        classes = self.class_names(instances=False)
        plan = ScenePlan(scene, self.settings, classes.names, instances=False)
        told = Progress(sum(len(block.windows) for block in plan.blocks), progress or (lambda *_: None))
        windows, labels = self.windows(instances=False), np.full(scene.grid.shape, NO_LABEL, dtype=np.uint8)
        with closing(results_by_block(windows, scene, plan.blocks, told)) as blocks:
            for block, results in blocks:
                assert block.area is not None
                top, left, bottom, right = block.area
                labels[top:bottom, left:right], _ = blend_labels(scene, block, results, len(classes.names))
        return LabelMap(labels, scene.grid, classes)

    def windows(self, *, instances: bool, importance: bool = False) -> WindowPredictor:
        """The model as it is run over windows; with the weights of the sensors, if it has them (see `WindowPredictor`)."""
        return WindowPredictor(
            self.model,
            self.modalities,
            instances=instances,
            batch_size=self.batch_size,
            min_score=self.settings.min_score,
            object_limits=_object_limits(self.model) if instances else {},
            precision=self.precision,
            importance=importance,
            num_workers=self.num_workers,
        )

    def class_names(self, *, instances: bool) -> ClassNames:
        """Names and colors of the model's classes."""
        heads = (getattr(self.model, name, None) for name in ("sem_seg_head", "roi_heads"))
        number = next((number for head in heads if (number := getattr(head, "num_classes", None)) is not None), None)
        if self._classes is None:
            if number is None:
                raise InputError(f"{type(self.model).__name__} does not say how many classes it has; pass classes=[names].")
            datasets = [self.model.metadata] if hasattr(self.model, "metadata") else []
            return ClassNames.of(datasets, number, instances=instances)
        given = self._classes if isinstance(self._classes, ClassNames) else ClassNames(tuple(self._classes))
        if number is not None and len(given.names) != number:
            raise InputError(f"{len(given.names)} names of classes are given, but the model has {number} classes.")
        return given


def predict_scene(
    model: nn.Module, sensors: Mapping[str, Any], *, progress: Tell | None = None, **options: Any
) -> SceneFeatures:
    """The objects of one scene, as they become final.

        from imrsf_d2.inference import predict_scene

        for building in predict_scene(model, {"rgb": "rgb.tif", "sar": (array, transform, "EPSG:32633")}, window=512):
            print(building.geometry.wkt, building.score, building.sensors)

    They are what `imrsf predict` writes, feature for feature. Features have `__geo_interface__`:

        found = predict_scene(model, {"rgb": "rgb.tif"}, bounds=(500000, 5790000, 502000, 5792000))
        table = geopandas.GeoDataFrame.from_features(found, crs=found.crs)

    Args:
        model: see `ScenePredictor`, which keeps it for many scenes.
        sensors, progress: see `ScenePredictor.predict`.
        options: the other arguments of `ScenePredictor`, such as `window`, and of `predict`, such as `bounds`.

    Raises:
        ValueError, MissingFileError: see `ScenePredictor.predict`.
    """
    of_predictor = inspect.signature(ScenePredictor).parameters
    settings = {name: options.pop(name) for name in of_predictor if name in options}
    return ScenePredictor(model, **settings).predict(sensors, progress=progress, **options)


def _features(
    plan: ScenePlan, windows: WindowPredictor, progress: Progress, rasters: NamedRasters
) -> Generator[Feature, None, None]:
    """Features while blocks are computed; the rasters in memory are kept as long."""

    def found() -> Iterator[dict[int, list[Detection]]]:
        for _, results in results_by_block(windows, plan.scene, plan.blocks, progress):
            yield find_objects(results)

    yield from plan.features(found())
    del rasters


def _modalities(model: nn.Module) -> ModalitySet:
    found = getattr(find_part(model, "modalities"), "modalities", None)
    if not isinstance(found, ModalitySet):
        raise InputError(
            f"{type(model).__name__} has no backbone that says which modalities it takes; pass modalities=ModalitySet([...])."
        )
    return found


def _object_limits(model: nn.Module) -> dict[str, int]:
    """What limits how many objects a model finds in a window, as far as it says so: MaskFormer's queries, and how many of its
    candidates it keeps, as an R-CNN does."""
    kept = getattr(find_part(model, "test_topk_per_image"), "test_topk_per_image", None)
    limits = {QUERIES: getattr(model, "num_queries", None), DETECTIONS: kept}
    return {key: limit for key, limit in limits.items() if limit is not None}
