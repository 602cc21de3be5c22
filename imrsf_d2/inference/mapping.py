"""The blocks of a scene, computed in any order and by any number of processes."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial

import numpy as np

from imrsf_d2.inference.blocks import Block, BlockFolder
from imrsf_d2.inference.detection_files import save_detections
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.importance import save_importance
from imrsf_d2.inference.importance_maps import IMPORTANCE
from imrsf_d2.inference.label_blocks import blend_labels, save_labels
from imrsf_d2.inference.predictor import WindowPredictor, WindowResult
from imrsf_d2.inference.scene import Scene
from imrsf_d2.utils.errors import counted

__all__ = ["Progress", "compute_blocks", "find_objects", "results_by_block"]

logger = logging.getLogger(__name__)

#: Seconds between two words about progress.
TELL_S = 10.0
#: While a block is being saved, so many of the next one's windows are taken from the model: one in this many.
HELD_BACK = 4


class Progress:
    """What is told while blocks are computed, at most every few seconds and at the end; and if no window held any data.

    Args:
        windows: how many there are to look at.
        tell: gets the windows done, those in all, the objects found so far (an object counts once for each window that sees
            it), and the seconds that the rest will take.
    """

    def __init__(self, windows: int, tell: Callable[[int, int, int, float], None]):
        self.windows, self._tell = windows, tell
        self.done = self.objects = self._skipped = self._empty = 0
        self._start = self._told = time.monotonic()

    def skip(self, windows: int) -> None:
        """Count what an earlier run has computed; it took this one no time."""
        self.done += windows
        self._skipped += windows

    def add(self, objects: int | None) -> None:
        """Count a window, and the objects found in it; None if no sensor has data there."""
        self.done += 1
        self.objects += objects or 0
        self._empty += objects is None
        if self._empty == self.windows:
            logger.warning(
                "No sensor has a valid pixel in any of the %s looked at, so the map is empty there. See whether the part "
                "asked for and the files' no-data values and masks are right.",
                counted(self.windows, "window"),
            )
        now = time.monotonic()
        if now - self._told >= TELL_S or self.done == self.windows:
            self._told = now
            pace = (now - self._start) / (self.done - self._skipped)
            self._tell(self.done, self.windows, self.objects, pace * (self.windows - self.done))


def compute_blocks(
    predictor: WindowPredictor,
    scene: Scene,
    blocks: Sequence[Block],
    folder: BlockFolder,
    progress: Progress | None = None,
    *,
    classes: int = 0,
    probabilities: bool = False,
    between: Callable[[], object] | None = None,
) -> None:
    """Compute those blocks that have no result yet.

    Args:
        predictor: its kind decides what is computed; if it listens to the model, that is kept, too.
        blocks: of `window_blocks` for objects, `area_blocks` for label maps; a share of them for one of several processes.
        folder: gets a file per block.
        classes: of the model, for label maps.
        probabilities: keep those of label maps, too.
        between: called after each block; what it raises ends the work.
    """
    missing = folder.missing(blocks)
    if progress is not None:
        progress.skip(sum(len(block.windows) for block in blocks) - sum(len(block.windows) for block in missing))
    with ThreadPoolExecutor(1, "block writer") as pool:
        saved: Future[None] | None = None
        for block, computed in results_by_block(predictor, scene, missing, progress):
            heard: dict[int, np.ndarray] = {}
            results = _listening(_held_back(computed, len(block.windows) // HELD_BACK, saved), heard)
            if predictor.instances:
                save = [partial(save_detections, folder.file(block), find_objects(results))]
            else:
                labels, blended = blend_labels(scene, block, results, classes)
                save = [partial(save_labels, folder, block, labels, blended if probabilities else None)]
            if predictor.listener is not None:
                save.insert(0, partial(save_importance, folder.file(block, IMPORTANCE), heard))
            saved = pool.submit(_in_turn, save)
            if between is not None:
                between()
        if saved is not None:
            saved.result()


def _held_back(results: Iterable[WindowResult], number: int, saved: Future[None] | None) -> Iterator[WindowResult]:
    """Pass results of a block on, some of them at once and the others when the block before is saved: what a kill loses is
    limited."""
    for count, result in enumerate(results):
        if count == number and saved is not None:
            saved.result()
        yield result
    if saved is not None:
        saved.result()


def _in_turn(works: Iterable[Callable[[], None]]) -> None:
    """Write the parts of a block; its own file is the last, as then the block is finished."""
    for work in works:
        work()


def results_by_block(
    predictor: WindowPredictor, scene: Scene, blocks: Sequence[Block], progress: Progress | None = None
) -> Generator[tuple[Block, Iterator[WindowResult]], None, None]:
    """The results of block after block, while the windows of the next are already being read and computed.

    Yields:
        A block, and the results of its windows that some sensor has data in, all of which must be taken before the next block.
    """
    with closing(predictor.run_all(scene, (window for block in blocks for window in block.windows))) as every:
        for block in blocks:
            yield block, _present(itertools.islice(every, len(block.windows)), progress)


def _present(results: Iterable[WindowResult | None], progress: Progress | None) -> Iterator[WindowResult]:
    """The results of windows that some sensor has data in; all are counted."""
    for result in results:
        if progress is not None:
            progress.add(None if result is None else len(result.detections))
        if result is not None:
            yield result


def find_objects(results: Iterable[WindowResult]) -> dict[int, list[Detection]]:
    """Index of each window of a block that some sensor has data in -> the objects that the model finds there."""
    return {result.window.index: result.detections for result in results}


def _listening(results: Iterator[WindowResult], heard: dict[int, np.ndarray]) -> Iterator[WindowResult]:
    """Pass results on, and note the weights of the sensors that come with them."""
    for result in results:
        if result.importance is not None:
            heard[result.window.index] = result.importance
        yield result
