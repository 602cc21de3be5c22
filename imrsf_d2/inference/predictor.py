"""A model on the windows of a scene: read ahead, computed in batches, reduced to what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from imrsf_d2.inference.detections import Detection, drop_doubles
from imrsf_d2.inference.importance import Listener
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.windows import Window
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.ahead import ahead
from imrsf_d2.utils.errors import InputError

__all__ = ["WindowPredictor", "WindowResult"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Batches that may wait for the model, for what follows it, and for who asks for the results.
READ_AHEAD, COMPUTED_AHEAD, REDUCED_AHEAD = 3, 1, 3
#: A batch goes on, full or not, with this many windows that hold no data.
EMPTY_WINDOWS = 64


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


@dataclass(eq=False)
class _Batch:
    """Windows that go through the model together, with those without data that lie between them.

    Args:
        windows: in their order.
        images: [C + M, size, size] of each, None of those without data, which the model does not get.
        inputs, outputs: of the model.
        heard: see `WindowResult.importance`; empty if it is not asked for.
        event: of a GPU, when the outputs are there.
    """

    windows: list[Window] = field(default_factory=list)
    images: list[np.ndarray | None] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    heard: list[np.ndarray] = field(default_factory=list)
    event: torch.cuda.Event | None = None

    @property
    def held(self) -> list[tuple[Window, np.ndarray]]:
        """The windows that hold data, and their images."""
        return [(window, image) for window, image in zip(self.windows, self.images) if image is not None]


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
        self.device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        self._stream: torch.cuda.Stream | None = None
        #: of the windows so far: how many had as many objects as the model can find
        self.full_windows = 0

    def run(self, scene: Scene, windows: Iterable[Window]) -> Iterator[WindowResult]:
        """Predict the windows in which some sensor has data; the others cost no call of the model.

        Raises:
            RasterError, ValueError: see `Scene.read`.
        """
        with closing(self.run_all(scene, windows)) as results:
            yield from (result for result in results if result is not None)

    def run_all(self, scene: Scene, windows: Iterable[Window]) -> Generator[WindowResult | None, None, None]:
        """As `run`, but for each window something comes: None where no sensor has data.

        Reading, the model, and what follows from its outputs are three threads, so that the model waits for nothing.
        """
        batches = ahead(self._batches(scene, windows), READ_AHEAD, "scene reader")
        computed = ahead(_each(self._compute, batches), COMPUTED_AHEAD, "scene model")
        with closing(
            ahead(_each(partial(self._reduce, scene=scene.grid.shape), computed), REDUCED_AHEAD, "scene results")
        ) as reduced:
            for results in reduced:
                yield from results

    def _batches(self, scene: Scene, windows: Iterable[Window]) -> Iterator[_Batch]:
        """The windows in groups of `batch_size` that hold data, with those between them that hold none."""
        batch = _Batch()
        for window in windows:
            batch.windows.append(window)
            batch.images.append(scene.read(window) if scene.wants(window) else None)
            if len(batch.held) == self.batch_size or len(batch.windows) - len(batch.held) >= EMPTY_WINDOWS:
                yield self._pin(batch)
                batch = _Batch()
        if batch.windows:
            yield self._pin(batch)

    def _pin(self, batch: _Batch) -> _Batch:
        batch.inputs = [{"image": torch.from_numpy(image), "height": w.size, "width": w.size} for w, image in batch.held]
        if self.device.type == "cuda":
            for sample in batch.inputs:
                sample["image"] = sample["image"].pin_memory()
        return batch

    @torch.no_grad()
    def _compute(self, batch: _Batch) -> _Batch:
        if batch.inputs:
            moved = [{**sample, "image": sample["image"].to(self.device, non_blocking=True)} for sample in batch.inputs]
            with self.precision():
                if self.listener is None:
                    batch.outputs = self.model(moved)
                else:
                    batch.outputs, batch.heard = self.listener(moved)
        if self.device.type == "cuda":
            batch.event = torch.cuda.Event()
            batch.event.record()
        return batch

    @torch.no_grad()
    def _reduce(self, batch: _Batch, scene: tuple[int, int]) -> list[WindowResult | None]:
        """The results of a batch; on a GPU, in a stream of their own, beside the model's work on the next batch."""
        with nullcontext() if batch.event is None else self._beside(batch.event):
            silent: Sequence[np.ndarray | None] = [None] * len(batch.outputs)
            outputs = iter(zip(batch.outputs, batch.heard or silent))
            results = [
                None if image is None else self._result(window, image, scene, *next(outputs))
                for window, image in zip(batch.windows, batch.images)
            ]
            batch.outputs = []  # only now, when nothing in this stream needs them, may others have their memory
        return results

    @contextmanager
    def _beside(self, event: torch.cuda.Event) -> Iterator[None]:
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(event)
            yield
            self._stream.synchronize()

    def _result(
        self,
        window: Window,
        image: np.ndarray,
        scene: tuple[int, int],
        output: dict[str, Any],
        importance: np.ndarray | None,
    ) -> WindowResult:
        validity = image[self.modalities.num_bands :] > 0
        valid = np.logical_or.reduce(validity, axis=0)
        if self.instances:
            return WindowResult(window, self._detections(window, output, validity, valid, scene), None, valid, importance)
        return WindowResult(window, [], _probabilities(output), valid, importance)

    def _detections(
        self, window: Window, output: dict[str, Any], validity: np.ndarray, known: np.ndarray, scene: tuple[int, int]
    ) -> list[Detection]:
        if "instances" not in output:
            raise InputError(
                f"the model gives {sorted(output)}, no instances: set MODEL.MASK_FORMER.TEST.INSTANCE_ON True, or ask for a label map."
            )
        found = output["instances"]
        scores = found.scores.float().cpu().numpy()
        order = np.argsort(-scores, kind="stable")
        order = order[: np.count_nonzero(scores >= self.min_score)]
        masks = _masks(found.pred_masks, order)
        masks[:, max(scene[0] - window.top, 0) :] = False  # nothing is beyond the scene
        masks[:, :, max(scene[1] - window.left, 0) :] = False
        labels = found.pred_classes.cpu().numpy()[order].tolist()
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
        everywhere = sum(1 << m for m, valid in enumerate(validity) if valid.all())
        partly = [m for m, valid in enumerate(validity) if not everywhere >> m & 1 and valid.any()]
        boxes = _boxes(masks)
        detections: list[Detection] = []
        for mask, (top, left, bottom, right), label, score in zip(masks, boxes, labels, scores[order].tolist()):
            if top == bottom:
                continue
            crop = mask[top:bottom, left:right].copy()
            if not everywhere and 2 * np.count_nonzero(known[top:bottom, left:right] & crop) < np.count_nonzero(crop):
                continue  # mostly where nothing is known
            sensors = everywhere
            for m in partly:
                if 2 * np.count_nonzero(validity[m, top:bottom, left:right] & crop) >= np.count_nonzero(crop):
                    sensors |= 1 << m
            place = window.top + top, window.left + left
            detections.append(Detection(window.index, len(detections), label, score, *place, crop, sensors))
        return drop_doubles(detections)


def _each(function: Callable[[_Batch], Result], batches: Generator[_Batch, None, None]) -> Iterator[Result]:
    """A function of each batch; what the batches come from is closed with it, when nobody asks for the rest."""
    with closing(batches):
        yield from map(function, batches)


def _masks(masks: torch.Tensor, chosen: np.ndarray) -> np.ndarray:
    """Some of the masks [n, H, W] of a model, as bool, without a copy of those left out."""
    if masks.device.type == "cpu":
        found = np.empty((len(chosen), *masks.shape[1:]), dtype=bool)
        for mask, index in zip(found, chosen.tolist()):
            mask[:] = (masks[index] > 0.5).numpy()
        return found
    return (masks[torch.from_numpy(chosen).to(masks.device)] > 0.5).cpu().numpy()


def _boxes(masks: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right) around the pixels of each mask; all 0 for one without."""
    number, height, width = masks.shape
    if width % 8 == 0:  # eight pixels at a time
        words = masks.view(np.uint64)
        rows, columns = np.bitwise_or.reduce(words, axis=2) > 0, np.bitwise_or.reduce(words, axis=1).view(bool)
    else:
        rows, columns = masks.any(axis=2), masks.any(axis=1)
    sides = (rows.argmax(1), columns.argmax(1), height - rows[:, ::-1].argmax(1), width - columns[:, ::-1].argmax(1))
    some = rows.any(axis=1)
    return [tuple(box) for box in (np.stack(sides, axis=1) * some[:, None]).tolist()] if number else []


def _probabilities(output: dict[str, Any]) -> np.ndarray:
    """MaskFormer's class scores, which add up to anything, as probabilities."""
    if "sem_seg" not in output:
        raise InputError(f"the model gives {sorted(output)}, no label map: set MODEL.MASK_FORMER.TEST.SEMANTIC_ON True.")
    scores = output["sem_seg"].float().clamp(min=0)
    return (scores / scores.sum(dim=0, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)).cpu().numpy()
