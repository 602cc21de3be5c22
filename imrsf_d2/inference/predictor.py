"""A model on the windows of a scene: read ahead, computed in batches, reduced to what is kept."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from imrsf_d2.inference.detections import Detection, drop_doubles
from imrsf_d2.inference.importance import Listener
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.windows import Window
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = ["WindowPredictor", "WindowResult"]

logger = logging.getLogger(__name__)

#: Windows that are read ahead of the model, in batches.
READ_AHEAD = 3


@dataclass(frozen=True, eq=False)
class WindowResult:
    """What a model says of one window.

    Args:
        window: which one.
        detections: objects, best first; empty for a semantic model.
        probabilities: [C, size, size] float32, which sum to 1 over the classes of a pixel; None for an instance model.
        valid: [size, size] bool, True where some sensor has data.
        importance: [M, n, n] weights of the sensors in the patches, see `Listener`; None if they are not asked for.
    """

    window: Window
    detections: list[Detection]
    probabilities: np.ndarray | None
    valid: np.ndarray
    importance: np.ndarray | None = None


class WindowPredictor:
    """Runs a model over windows, in the order in which they are given.

    Args:
        model: takes a list of {"image": [C + M, H, W], "height", "width"} and gives "instances" or "sem_seg" for each, as
            MaskFormer does; with its weights loaded, and left in evaluation mode.
        modalities: the model's.
        instances: True for objects, False for classes of pixels.
        batch_size: windows that go through the model together.
        min_score: objects below it are left out.
        queries: of the model: a window with about as many objects probably has more of them; None does not look.
        precision: makes the context that the model computes in, e.g. for autocast.
        importance: keep the weights of the sensors, too, of a model as `Listener` takes it.
    """

    def __init__(
        self,
        model: nn.Module,
        modalities: ModalitySet,
        *,
        instances: bool,
        batch_size: int = 1,
        min_score: float = 0.5,
        queries: int | None = None,
        precision: Callable[[], AbstractContextManager] = nullcontext,
        importance: bool = False,
    ):
        if batch_size < 1:
            raise InputError(f"--batch-size is {batch_size}, expected 1 or more.")
        if not 0 <= min_score <= 1:
            raise InputError(f"--min-score is {min_score:g}, expected a score from 0 to 1.")
        self.model = model.eval()
        self.modalities = modalities
        self.instances = instances
        self.batch_size = batch_size
        self.min_score = min_score
        self.queries = queries
        self.precision = precision
        self.listener = Listener(model) if importance else None
        #: of the windows so far: how many had as many objects as the model can find
        self.full_windows = 0

    def run(self, scene: Scene, windows: Iterable[Window]) -> Iterator[WindowResult]:
        """Predict the windows in which some sensor has data; the others cost no call of the model.

        Raises:
            RasterError, ValueError: see `Scene.read`.
        """
        for batch in _read_ahead(scene, windows, self.batch_size):
            yield from self._predict(batch)

    @torch.no_grad()
    def _predict(self, batch: list[tuple[Window, np.ndarray]]) -> Iterator[WindowResult]:
        inputs = [{"image": torch.from_numpy(image), "height": w.size, "width": w.size} for w, image in batch]
        with self.precision():
            outputs, heard = self.listener(inputs) if self.listener else (self.model(inputs), [None] * len(batch))
        for (window, image), output, importance in zip(batch, outputs, heard):
            validity = image[self.modalities.num_bands :] > 0
            valid = np.logical_or.reduce(validity, axis=0)
            if self.instances:
                yield WindowResult(window, self._detections(window, output, validity), None, valid, importance)
            else:
                yield WindowResult(window, [], _probabilities(output), valid, importance)

    def _detections(self, window: Window, output: dict[str, Any], validity: np.ndarray) -> list[Detection]:
        if "instances" not in output:
            raise InputError(
                f"the model gives {sorted(output)}, no instances: set MODEL.MASK_FORMER.TEST.INSTANCE_ON True, or ask for a label map."
            )
        found = output["instances"]
        good = found.scores >= self.min_score
        scores, order = found.scores[good].float().sort(descending=True, stable=True)
        masks = (found.pred_masks[good][order] > 0.5).cpu().numpy()
        labels = found.pred_classes[good][order].tolist()
        if self.queries is not None and len(labels) >= self.queries:
            self.full_windows += 1
            if self.full_windows == 1:
                logger.warning(
                    "The window at row %d, column %d has %d objects, as many as the model has queries: it probably holds more. Take "
                    "a smaller --window, or a model with more MODEL.MASK_FORMER.NUM_OBJECT_QUERIES. Further ones are counted.",
                    window.top,
                    window.left,
                    len(labels),
                )
        detections: list[Detection] = []
        for mask, label, score in zip(masks, labels, scores.tolist()):
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if not len(rows):
                continue
            top, left = int(rows[0]), int(columns[0])
            box = np.s_[top : rows[-1] + 1, left : columns[-1] + 1]
            crop = np.ascontiguousarray(mask[box])
            pixels = np.count_nonzero(crop)
            sensors = sum(1 << m for m, valid in enumerate(validity) if 2 * np.count_nonzero(valid[box] & crop) >= pixels)
            detections.append(
                Detection(window.index, len(detections), label, score, window.top + top, window.left + left, crop, sensors)
            )
        return drop_doubles(detections)


def _probabilities(output: dict[str, Any]) -> np.ndarray:
    """MaskFormer's class scores, which add up to anything, as probabilities."""
    if "sem_seg" not in output:
        raise InputError(f"the model gives {sorted(output)}, no label map: set MODEL.MASK_FORMER.TEST.SEMANTIC_ON True.")
    scores = output["sem_seg"].float().clamp(min=0)
    return (scores / scores.sum(dim=0, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)).cpu().numpy()


def _read_ahead(scene: Scene, windows: Iterable[Window], size: int) -> Iterator[list[tuple[Window, np.ndarray]]]:
    """Batches of windows that hold data, read in a thread while the model works on those before."""
    ready: queue.Queue[list[tuple[Window, np.ndarray]] | BaseException | None] = queue.Queue(READ_AHEAD)
    stop = threading.Event()

    def put(item) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.2)
            except queue.Full:
                continue

    def read() -> None:
        try:
            batch = []
            for window in windows:
                if stop.is_set():
                    return
                if scene.wants(window) and (image := scene.read(window)) is not None:
                    batch.append((window, image))
                    if len(batch) == size:
                        put(batch)
                        batch = []
            if batch:
                put(batch)
            put(None)
        except BaseException as error:  # raised where the windows are asked for
            put(error)

    thread = threading.Thread(target=read, name="scene reader", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
