"""A model on the windows of a scene: read ahead, computed in batches, reduced to what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from imrsf_d2.data.object_limits import QUERIES
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.mask_bits import pack_masks
from imrsf_d2.inference.reduction import FoundMasks, find_detections
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.windows import Window
from imrsf_d2.inference.workers import SceneWorkers, can_share, wait_for
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.ahead import ahead
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.listening import Listener
from imrsf_d2.utils.probabilities import class_probabilities

__all__ = ["WindowPredictor", "WindowResult"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Batches that may wait for the model, for what follows it, and for who asks for the results. So the model is at most seven
#: batches ahead of who asks: those that wait behind it, and one each at it, at what follows, and with who asks.
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
        valid: [size, size] bool, True where some sensor has data; None for an instance model.
        importance: [M, n, n] weights of the sensors in the patches, see `Listener`; None if they are not asked for.
    """

    window: Window
    detections: list[Detection]
    probabilities: np.ndarray | None
    valid: np.ndarray | None
    importance: np.ndarray | None = None


@dataclass(eq=False)
class _Batch:
    """Windows that go through the model together, with those without data that lie between them.

    Args:
        windows: in their order.
        images: [C + M, size, size] of each, None of those without data, which the model does not get.
        outputs: of the model.
        heard: see `WindowResult.importance`; empty if it is not asked for.
        event: of a GPU, when the outputs are there.
    """

    windows: list[Window] = field(default_factory=list)
    images: list[torch.Tensor | None] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    heard: list[np.ndarray] = field(default_factory=list)
    event: torch.cuda.Event | None = None

    @property
    def held(self) -> list[tuple[Window, torch.Tensor]]:
        """The windows that hold data, and their images."""
        return [(window, image) for window, image in zip(self.windows, self.images) if image is not None]


@dataclass(frozen=True, eq=False)
class _Reduced:
    """What is kept of a batch.

    Args:
        results: of its windows, None of those without data; without detections.
        detections: of those with data, of an instance model: at hand, or what a process is at.
    """

    results: list[WindowResult | None]
    detections: list[list[Detection]] | Future[list[list[Detection]]]


class WindowPredictor:
    """Runs a model over windows, in the order in which they are given.

    Args:
        model: takes a list of {"image": [C + M, H, W], "height", "width"} and gives "instances" or "sem_seg" for each, as
            MaskFormer does; with its weights loaded, and left in evaluation mode.
        modalities: the model's.
        instances: True for objects, False for classes of pixels.
        batch_size: windows that go through the model together.
        min_score: objects below it are left out.
        object_limits: keys of the config that limit how many objects the model finds in a window, with their values: a window
            with as many as the least of them probably holds more; empty does not look.
        precision: makes the context that the model computes in, e.g. for autocast.
        importance: keep the weights of the sensors, too, of a model as `Listener` takes it.
        num_workers: processes that read the scene and make detections of masks; 0 does it in threads. Each takes about a
            second to begin. What Python has given as arrays is read in a thread in any case.
    """

    def __init__(
        self,
        model: nn.Module,
        modalities: ModalitySet,
        *,
        instances: bool,
        batch_size: int = 1,
        min_score: float = 0.5,
        object_limits: Mapping[str, int] = {},
        precision: Callable[[], AbstractContextManager] = nullcontext,
        importance: bool = False,
        num_workers: int = 0,
    ):
        if batch_size < 1:
            raise InputError(f"the batch size is {batch_size}, expected 1 or more.")
        if not 0 <= min_score <= 1:
            raise InputError(f"the minimum score is {min_score:g}, expected a score from 0 to 1.")
        if num_workers < 0:
            raise InputError(f"the number of workers is {num_workers}, expected 0 or more.")
        self.model = model.eval()
        self.modalities = modalities
        self.instances = instances
        self.batch_size = batch_size
        self.min_score = min_score
        self.object_limits = dict(object_limits)
        self.precision = precision
        self.num_workers = num_workers
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

        Reading, the model, and what follows from its outputs are three threads, so that the model waits for nothing; the first
        and the last leave what they can to `num_workers` processes.
        """
        with self._workers(scene) as workers:
            batches = ahead(self._batches(scene, windows, workers), READ_AHEAD, "scene reader")
            computed = ahead(_each(self._compute, batches), COMPUTED_AHEAD, "scene model")
            reduce = partial(self._reduce, scene=scene.grid.shape, workers=workers)
            with closing(ahead(_each(reduce, computed), REDUCED_AHEAD, "scene results")) as reduced:
                for batch in reduced:
                    yield from _complete(batch)

    def _workers(self, scene: Scene) -> AbstractContextManager[SceneWorkers | None]:
        return SceneWorkers(scene, self.num_workers) if self.num_workers and can_share(scene) else nullcontext()

    def _batches(self, scene: Scene, windows: Iterable[Window], workers: SceneWorkers | None) -> Iterator[_Batch]:
        """The windows in groups of `batch_size` that hold data, with those between them that hold none."""
        batch = _Batch()
        coming = workers.ahead(windows) if workers else ((window, scene.wants(window)) for window in windows)
        for window, wanted in coming:
            batch.windows.append(window)
            batch.images.append(self._read(scene, window, workers) if wanted else None)
            if len(batch.held) == self.batch_size or len(batch.windows) - len(batch.held) >= EMPTY_WINDOWS:
                yield batch
                batch = _Batch()
        if batch.windows:
            yield batch

    def _read(self, scene: Scene, window: Window, workers: SceneWorkers | None) -> torch.Tensor | None:
        """A window's image, in memory from which a GPU can copy while it computes."""
        shape = self.modalities.num_channels, window.size, window.size
        with self._on_device():
            image = torch.empty(shape, pin_memory=self.device.type == "cuda")
        return None if scene.read(window, image.numpy(), workers.tile if workers else None) is None else image

    @torch.no_grad()
    def _compute(self, batch: _Batch) -> _Batch:
        if batch.held:
            inputs = [
                {"image": image.to(self.device, non_blocking=True), "height": window.size, "width": window.size}
                for window, image in batch.held
            ]
            with self._on_device(), self.precision():
                if self.listener is None:
                    batch.outputs = self.model(inputs)
                else:
                    batch.outputs, batch.heard = self.listener(inputs)
        if self.device.type == "cuda":
            batch.event = torch.cuda.current_stream(self.device).record_event()
        return batch

    def _on_device(self) -> AbstractContextManager:
        """Makes the model's GPU the current one, which in a new thread is the first, whichever the model is on."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()

    @torch.no_grad()
    def _reduce(self, batch: _Batch, scene: tuple[int, int], workers: SceneWorkers | None) -> _Reduced:
        """The results of a batch; on a GPU, in a stream of their own, beside the model's work on the next batch."""
        with nullcontext() if batch.event is None else self._beside(batch.event):
            found = self._found(batch) if self.instances else []
            held = self._results(batch)
            results = [None if image is None else next(held) for image in batch.images]
            batch.outputs = []  # only now, when nothing in this stream needs them, may others have their memory
        sent = workers.find(found, scene) if workers and found else None
        return _Reduced(results, [find_detections(masks, scene) for masks in found] if sent is None else sent)

    @contextmanager
    def _beside(self, event: torch.cuda.Event) -> Iterator[None]:
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(event)
            yield
            self._stream.synchronize()

    def _results(self, batch: _Batch) -> Iterator[WindowResult]:
        """Those of the windows with data, but for their detections."""
        silent: Sequence[np.ndarray | None] = [None] * len(batch.outputs)
        for (window, image), output, weights in zip(batch.held, batch.outputs, batch.heard or silent):
            if self.instances:
                yield WindowResult(window, [], None, None, weights)
            else:
                valid = np.logical_or.reduce(self._validity(image), axis=0)
                yield WindowResult(window, [], _probabilities(output), valid, weights)

    def _validity(self, image: torch.Tensor) -> np.ndarray:
        return image[self.modalities.num_bands :].numpy()

    def _found(self, batch: _Batch) -> list[FoundMasks]:
        """The objects of each window with data that are good enough; the whole batch at once, as each copy from a GPU waits."""
        if not batch.outputs:
            return []
        if "instances" not in batch.outputs[0]:
            raise InputError(
                f"the model gives {sorted(batch.outputs[0])}, no instances: set MODEL.MASK_FORMER.TEST.INSTANCE_ON True, or ask "
                "for a label map."
            )
        instances = [output["instances"] for output in batch.outputs]
        ends = np.cumsum([len(found.scores) for found in instances])[:-1]
        scores = np.split(torch.cat([found.scores for found in instances]).float().cpu().numpy(), ends)
        labels = np.split(torch.cat([found.pred_classes for found in instances]).cpu().numpy(), ends)
        orders = [np.argsort(-some, kind="stable")[: np.count_nonzero(some >= self.min_score)] for some in scores]
        bits = pack_masks([found.pred_masks for found in instances], orders)
        every = []
        for (window, image), some, classes, order, masks in zip(batch.held, scores, labels, orders, bits):
            self._look_whether_full(window, len(order))
            objects = classes[order].tolist(), some[order].tolist(), masks
            every.append(FoundMasks.of(window, *objects, self._validity(image)))
        return every

    def _look_whether_full(self, window: Window, objects: int) -> None:
        most = min(self.object_limits.values(), default=None)
        if most is None or objects < most:
            return
        self.full_windows += 1
        if self.full_windows == 1:
            keys = [key for key, limit in self.object_limits.items() if limit == most]
            logger.warning(
                "The window at row %d, column %d has %d objects, as many as the model can find (%s): it probably holds more. "
                "Take a smaller window, or %s. Further ones are counted.",
                window.top,
                window.left,
                objects,
                " and ".join(f"{key} {most}" for key in keys),
                " and ".join("a model with more queries" if key == QUERIES else f"a larger {key}" for key in keys),
            )


def _complete(batch: _Reduced) -> Iterator[WindowResult | None]:
    """The results of a batch with its detections."""
    detections = batch.detections if isinstance(batch.detections, list) else wait_for(batch.detections)
    every = iter(detections)
    for result in batch.results:
        yield result if result is None or not detections else replace(result, detections=next(every))


def _each(function: Callable[[_Batch], Result], batches: Generator[_Batch, None, None]) -> Iterator[Result]:
    """A function of each batch; what the batches come from is closed with it, when nobody asks for the rest."""
    with closing(batches):
        yield from map(function, batches)


def _probabilities(output: dict[str, Any]) -> np.ndarray:
    if "sem_seg" not in output:
        raise InputError(f"the model gives {sorted(output)}, no label map: set MODEL.MASK_FORMER.TEST.SEMANTIC_ON True.")
    return class_probabilities(output["sem_seg"]).cpu().numpy()
