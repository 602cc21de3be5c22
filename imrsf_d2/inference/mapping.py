"""From a scene to its map: blocks computed, in any order and by any number of processes, then put together in one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from imrsf_d2.inference.blocks import Block, BlockFolder
from imrsf_d2.inference.detection_files import save_detections
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.importance import save_importance
from imrsf_d2.inference.importance_maps import IMPORTANCE
from imrsf_d2.inference.label_blocks import blend_labels, save_labels
from imrsf_d2.inference.merging import MergedObject, merge
from imrsf_d2.inference.outlines import area_m2, outline
from imrsf_d2.inference.predictor import WindowPredictor, WindowResult
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.vector_files import Feature
from imrsf_d2.inference.windows import WindowGrid

__all__ = ["Progress", "compute_blocks", "features", "find_objects", "merged_objects"]


class Progress:
    """What is told while blocks are computed.

    Args:
        windows: how many there are to look at.
        tell: gets the windows done, those in all, the objects found, and the seconds since the start.
    """

    def __init__(self, windows: int, tell: Callable[[int, int, int, float], None]):
        self.windows, self._tell = windows, tell
        self.done = self.objects = 0
        self._start = time.monotonic()

    def add(self, windows: int, objects: int) -> None:
        """Count what a block has brought."""
        self.done += windows
        self.objects += objects
        self._tell(self.done, self.windows, self.objects, time.monotonic() - self._start)


def compute_blocks(
    predictor: WindowPredictor,
    scene: Scene,
    blocks: Sequence[Block],
    folder: BlockFolder,
    progress: Progress | None = None,
    *,
    classes: int = 0,
    probabilities: bool = False,
) -> None:
    """Compute those blocks that have no result yet.

    Args:
        predictor: its kind decides what is computed; if it listens to the model, that is kept, too.
        blocks: of `window_blocks` for objects, `area_blocks` for label maps; a share of them for one of several processes.
        folder: gets a file per block.
        classes: of the model, for label maps.
        probabilities: keep those of label maps, too.
    """
    for block in blocks:
        if folder.file(block).is_file():
            if progress is not None:
                progress.add(len(block.windows), 0)
            continue
        heard: dict[int, np.ndarray] = {}
        results = _listening(predictor.run(scene, block.windows), heard)
        objects = 0
        if predictor.instances:
            found = find_objects(results)
            objects = sum(map(len, found.values()))
            save = partial(save_detections, folder.file(block), found)
        else:
            labels, blended = blend_labels(scene, block, results, classes)
            save = partial(save_labels, folder, block, labels, blended if probabilities else None)
        if predictor.listener is not None:
            save_importance(folder.file(block, IMPORTANCE), heard)
        save()  # last: then the block is finished
        if progress is not None:
            progress.add(len(block.windows), objects)


def find_objects(results: Iterable[WindowResult]) -> dict[int, list[Detection]]:
    """Index of each window of a block that some sensor has data in -> the objects that the model finds there."""
    return {result.window.index: result.detections for result in results}


def merged_objects(
    windows: WindowGrid, blocks: Sequence[Block], found: Iterable[Mapping[int, Sequence[Detection]]]
) -> Iterator[MergedObject]:
    """The objects of a scene, each once, as soon as no later row of blocks can change it.

    Args:
        blocks: all of the scene's, of `window_blocks`.
        found: for each of them what `find_objects` gives; taken only when all that is final without it has been given.
    """
    found = iter(found)

    def rows() -> Iterator[tuple[int, Sequence[Detection] | None]]:
        for _, row in itertools.groupby(blocks, key=lambda block: block.row):
            detections: dict[int, Sequence[Detection]] = {}
            for number, block in enumerate(row):
                if number == 0:
                    yield block.windows[0].index, None  # what is final need not wait for what is yet to be computed
                detections |= next(found)
            yield from sorted(detections.items())

    return merge(windows, rows())


def features(
    scene: Scene, objects: Iterator[MergedObject], classes: Sequence[str], *, min_area: float = 0.0, simplify: float = 0.0
) -> Iterator[Feature]:
    """Objects as polygons in the scene's coordinates.

    Args:
        classes: their names.
        min_area: smaller ones are left out, m2.
        simplify: see `outline`.
    """
    names = scene.modalities.names
    crs = scene.grid.crs
    assert crs is not None  # see `open_scene`
    for found in objects:
        height, width = found.mask.shape
        place = scene.grid.part(slice(found.top, found.top + height), slice(found.left, found.left + width))
        geometry = outline(found.mask, place.transform, simplify)
        if scene.area is not None and not scene.area.intersects(geometry):
            continue
        area = area_m2(geometry, crs)
        if area >= min_area:
            sensors = tuple(name for m, name in enumerate(names) if found.sensors >> m & 1)
            yield Feature(geometry, classes[found.label], found.score, area, sensors, found.cut)


def _listening(results: Iterator[WindowResult], heard: dict[int, np.ndarray]) -> Iterator[WindowResult]:
    """Pass results on, and note the weights of the sensors that come with them."""
    for result in results:
        if result.importance is not None:
            heard[result.window.index] = result.importance
        yield result
