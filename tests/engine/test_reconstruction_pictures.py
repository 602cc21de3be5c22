"""The pictures of a pre-training run: when, of what, and that the run itself does not notice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.engine import TrainerBase
from detectron2.engine.hooks import PeriodicWriter
from detectron2.modeling import build_model
from detectron2.utils.events import TensorboardXWriter
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.engine import reconstruction_pictures
from imrsf_d2.engine.reconstruction_pictures import FOLDER, ReconstructionPictures, picture_hooks
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.visualization.reconstruction_arrays import read_reconstructed
from tests.tiny import PRETRAINING

PICTURES = [
    "MODEL.IMRSF.PRETRAIN.VISIBLE_TOKENS",
    "20",
    "MODEL.IMRSF.PRETRAIN.PICTURES.PERIOD",
    "2",
    "MODEL.IMRSF.PRETRAIN.PICTURES.SAMPLES",
    "2",
]


class StubMAE(nn.Module):
    """Reconstructs a sample as itself, off by what it has learned; masks at random, by the sample's seed."""

    def __init__(self, cfg):
        super().__init__()
        self.modalities, self.patch = ModalitySet.from_config(cfg), cfg.MODEL.IMRSF.PATCH_SIZE
        self.learned = nn.Parameter(torch.zeros(()))
        self.autocast = []

    def forward(self, batch):
        assert not self.training and not torch.is_grad_enabled()
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        torch.rand(3), np.random.rand(3)  # what a model draws must not show in the training run
        (sample,) = batch
        image = sample["image"]
        grid = len(self.modalities), *(-(-side // self.patch) for side in image.shape[1:])
        generator = torch.Generator().manual_seed(sample["mask_seed"])
        present = torch.ones(grid, dtype=torch.bool)
        reconstruction = {name: image[self.modalities.bands(name)] + self.learned for name in self.modalities.names}
        return [
            {"present": present, "visible": torch.rand(grid, generator=generator) < 0.25, "reconstruction": reconstruction}
        ]


class Loop(TrainerBase):
    """Learns by adding one, and remembers what random numbers an iteration saw."""

    def __init__(self, model, hooks, max_iter=5):
        super().__init__()
        self.model, self.numbers = model, []
        self.register_hooks(hooks)
        self.start_iter, self.max_iter = 0, max_iter

    def run_step(self):
        assert self.model.training
        self.numbers.append((torch.rand(1).item(), np.random.rand()))
        with torch.no_grad():
            next(self.model.parameters()).add_(1)

    def train(self):
        torch.manual_seed(0)
        np.random.seed(0)
        super().train(self.start_iter, self.max_iter)


@pytest.fixture
def pretrain_config(tiny_config):
    return lambda *opts: tiny_config(*PRETRAINING, *PICTURES, *opts)


def read(cfg):
    folder = Path(cfg.OUTPUT_DIR) / FOLDER
    return {path.stem: read_reconstructed(path, ModalitySet.from_config(cfg)) for path in sorted(folder.glob("*.npz"))}


def test_pictures_are_drawn_every_period_and_after_the_last_iteration(pretrain_config):
    cfg = pretrain_config()
    writer = PeriodicWriter([TensorboardXWriter(cfg.OUTPUT_DIR)])
    Loop(StubMAE(cfg), [*picture_hooks(cfg), writer]).train()

    folder = Path(cfg.OUTPUT_DIR) / FOLDER
    stems = ["iter_0000001", "iter_0000003", "iter_0000004"]
    assert {path.name for path in folder.iterdir()} == {f"{stem}.{end}" for stem in stems for end in ("npz", "png")}
    events = EventAccumulator(cfg.OUTPUT_DIR, size_guidance={"images": 0}).Reload().Images(FOLDER)
    assert [event.step for event in events] == [1, 3, 4]
    shapes = {(event.height, event.width) for event in events}
    assert shapes <= {imread(folder / f"{stem}.png").shape[:2] for stem in stems}


def test_every_picture_shows_the_same_samples_and_masks_and_what_was_learned_since(pretrain_config):
    cfg = pretrain_config()
    Loop(StubMAE(cfg), picture_hooks(cfg)).train()
    pictures = read(cfg)
    names = [Path(sample["file_name"]).stem for sample in DatasetCatalog.get(cfg.DATASETS.TEST[0])]
    for stem, samples in pictures.items():
        assert [sample.name for sample in samples] == names
        for sample, first in zip(samples, pictures["iter_0000001"], strict=True):
            assert np.array_equal(sample.image, first.image) and np.array_equal(sample.visible, first.visible)
            learned = int(stem[-7:]) + 1
            assert np.allclose(sample.predicted, sample.image[: len(sample.predicted)] + learned, atol=0.5)
            assert sample.patch_size == cfg.MODEL.IMRSF.PATCH_SIZE
    visible = [sample.visible for sample in pictures["iter_0000001"]]
    assert not np.array_equal(*visible) and all(grids.any() for grids in visible)


@pytest.mark.parametrize("test_set, positions", [(None, [0, 1]), ("()", [0, 2, 3])], ids=["test set", "training set"])
def test_samples_are_spread_over_the_set_complete_and_not_augmented(pretrain_config, test_set, positions):
    """The tiny tiles are as large as a crop, so that a sample is its whole tile."""
    cfg = pretrain_config(
        *(["DATASETS.TEST", test_set] if test_set else []),
        "MODEL.IMRSF.PRETRAIN.PICTURES.SAMPLES",
        "3",
        "INPUT.SCALE_JITTER",
        "[0.5, 2.0]",
        "INPUT.PHOTOMETRIC",
        "[{'NAME': 'rgb', 'BRIGHTNESS': 0.5}]",
        "SEED",
        "7",
    )
    Loop(StubMAE(cfg), picture_hooks(cfg), max_iter=1).train()
    (shown,) = read(cfg).values()
    samples = DatasetCatalog.get((*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)[0])
    read_whole = build_mapper(cfg, is_train=False)
    for sample, position in zip(shown, positions, strict=True):
        expected = read_whole(samples[position])["image"].numpy()
        tolerance = np.ptp(expected, axis=(1, 2), keepdims=True) / 512 + 1e-6
        assert (np.abs(sample.image - expected) <= tolerance).all()


def test_crops_are_those_of_the_training(pretrain_config):
    cfg = pretrain_config("INPUT.CROP.SIZE", "[32, 48]")
    Loop(StubMAE(cfg), picture_hooks(cfg), max_iter=2).train()
    (shown,) = read(cfg).values()
    mapper = build_mapper(cfg, is_train=True, dropout=None, dihedral=False, scale=(1.0, 1.0), jitters={}, seed=0)
    for position, sample in enumerate(shown):
        again = mapper({**DatasetCatalog.get(cfg.DATASETS.TEST[0])[position], "draw": position})["image"]
        assert sample.image.shape[1:] == (32, 48) and np.allclose(sample.image, again, atol=0.3)


def test_the_training_does_not_notice(pretrain_config):
    cfg = pretrain_config()
    plain, drawn = Loop(StubMAE(cfg), []), Loop(StubMAE(cfg), picture_hooks(cfg))
    plain.train()
    drawn.train()
    assert plain.numbers == drawn.numbers
    assert drawn.model.training and len(read(cfg)) == 3


@pytest.mark.parametrize("enabled", [True, False])
def test_the_model_computes_in_the_precision_of_the_training(pretrain_config, enabled):
    cfg = pretrain_config("SOLVER.AMP.ENABLED", str(enabled))
    loop = Loop(StubMAE(cfg), picture_hooks(cfg), max_iter=1)
    loop.train()
    assert loop.model.autocast == [enabled] * 2


@pytest.mark.parametrize(
    "opts",
    [[], ["MODEL.IMRSF.PRETRAIN.NORMALIZE_PATCHES", "True", "SOLVER.AMP.ENABLED", "True"]],
    ids=["plain", "normalized patches in bf16"],
)
def test_what_the_real_model_reconstructs_is_drawn(pretrain_config, opts):
    cfg = pretrain_config("MODEL.IMRSF.PRETRAIN.DECODER_DIM", "32", *opts)
    Loop(build_model(cfg), picture_hooks(cfg), max_iter=1).train()
    (samples,) = read(cfg).values()
    for sample in samples:
        assert sample.visible.sum() == 20 and not (sample.visible & ~sample.present).any()
        assert sample.predicted.shape == (5, 64, 64) and np.isfinite(sample.predicted).all()
    assert (Path(cfg.OUTPUT_DIR) / FOLDER / "iter_0000000.png").is_file()


def test_a_model_shared_by_processes_is_asked_in_the_main_one_alone(pretrain_config, monkeypatch):
    class Shared(nn.Module):
        """As DistributedDataParallel, whose forward all processes would have to call."""

        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, batch):
            raise AssertionError("the other processes are not there")

    monkeypatch.setattr(reconstruction_pictures, "DistributedDataParallel", Shared)
    cfg = pretrain_config()
    Loop(Shared(StubMAE(cfg)), picture_hooks(cfg), max_iter=1).train()
    assert len(read(cfg)) == 1


def test_pictures_belong_to_the_main_process_of_a_pre_training_that_wants_them(pretrain_config, monkeypatch):
    assert [type(hook) for hook in picture_hooks(pretrain_config())] == [ReconstructionPictures]
    assert not picture_hooks(pretrain_config("MODEL.IMRSF.PRETRAIN.PICTURES.PERIOD", "0"))
    monkeypatch.setattr(reconstruction_pictures.comm, "is_main_process", lambda: False)
    assert not picture_hooks(pretrain_config())


def test_the_trainer_draws_before_its_writers_write_and_in_pre_training_alone(pretrain_config):
    hooks = Trainer(pretrain_config())._hooks
    assert isinstance(hooks[-2], ReconstructionPictures) and isinstance(hooks[-1], PeriodicWriter)
    supervised = pretrain_config("MODEL.META_ARCHITECTURE", "MaskFormer", "INPUT.DATASET_MAPPER_NAME", "imrsf_instance")
    assert not any(isinstance(hook, ReconstructionPictures) for hook in Trainer(supervised)._hooks)
