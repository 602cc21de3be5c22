"""A model on the second of two GPUs, which are pretended: what it computes is taken when it is there, and not before."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from rasterio.transform import from_origin

from imrsf_d2.inference import predictor as module
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.oracle_model import OracleDetector
from tests.inference.scene_files import LEFT, TOP, write
from tests.pretended_gpu import PretendedGPU

MODALITIES = ModalitySet([Modality("truth", 1)])


class Event:
    """As CUDA's: it stands for what its stream has been given so far."""

    def __init__(self, stream):
        self.stream = stream


class Stream:
    """Work that is done only when somebody waits for it, as on a GPU that is slow."""

    def __init__(self, device):
        self.device, self.work = torch.device(device), []

    def record_event(self, event=None):
        return event or Event(self)

    def wait_event(self, event):
        event.stream.synchronize()  # at once, as the copy to the host, which comes next, would wait for it

    def synchronize(self):
        work, self.work = self.work, []
        for one in work:
            one()


class Cards:
    """Stands for `torch.cuda` in a thread that has not said which of two cards it uses: it is the first."""

    def __init__(self):
        self.current, self.streams, self.pinned_at = 0, [Stream("cuda:0"), Stream("cuda:1")], []
        self.Stream, cards = Stream, self

        class OfCurrentStream(Event):
            def __init__(self):
                pass

            def record(self, stream=None):
                self.stream = stream or cards.current_stream()

        self.Event = OfCurrentStream

    def current_stream(self, device=None):
        return self.streams[self.current if device is None else torch.device(device).index]

    @contextmanager
    def device(self, device):
        before, self.current = self.current, torch.device(device).index
        yield
        self.current = before

    @contextmanager
    def stream(self, stream):
        with self.device(stream.device):
            yield


class SlowDetector(OracleDetector):
    """Its scores are 0 until its card, the second one, has done its work."""

    def __init__(self, cards):
        super().__init__()
        self.cards, self.called_at = cards, []

    def forward(self, inputs):
        self.called_at.append(self.cards.current)
        outputs = super().forward([{"image": sample["image"].cpu()} for sample in inputs])
        for output in outputs:
            scores = output["instances"].scores
            self.cards.current_stream("cuda:1").work.append(lambda late=scores, true=scores.clone(): late.copy_(true))
            scores.zero_()
        return outputs


@pytest.fixture
def cards(monkeypatch):
    cards = Cards()
    for name in ("Event", "Stream", "current_stream", "device", "stream"):
        monkeypatch.setattr(torch.cuda, name, getattr(cards, name))
    pin = PretendedGPU._pin
    monkeypatch.setattr(PretendedGPU, "_pin", lambda *args: (cards.pinned_at.append(cards.current), pin(*args))[1])
    # All in this thread, as what is pretended is pretended in one thread alone.
    monkeypatch.setattr(module, "ahead", lambda items, number, name: items)
    return cards


def test_what_a_model_on_the_second_gpu_finds_is_read_when_it_is_computed(cards, tmp_path):
    numbers = np.zeros((128, 300), np.float32)
    for i in range(1, 7):
        numbers[20 : 60 + i, 45 * i : 45 * i + 20] = i
    path = write(tmp_path / "truth.tif", numbers, from_origin(LEFT, TOP, 0.5, 0.5))
    scene, windows = open_scene(MODALITIES, {"truth": [str(path)]}), WindowGrid(128, 300, 128, 32)

    def found(model, device):
        predictor = WindowPredictor(model, MODALITIES, instances=True, batch_size=2)
        predictor.device = torch.device(device)
        return [[one.score for one in result.detections] for result in predictor.run(scene, windows)]

    expected = found(OracleDetector(), "cpu")
    assert sum(map(len, expected)) >= 6
    model = SlowDetector(cards)
    with PretendedGPU():
        assert found(model, "cuda:1") == expected
    assert set(model.called_at) == set(cards.pinned_at) == {1}  # no context on the first one, which others use
    assert cards.current == 0
