from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.utils.env import seed_all_rng

from imrsf_d2.engine.trainer import Trainer
from tests.tiny import PRETRAINING


class Recorder(Trainer):
    """Remembers the loss of each iteration, which metrics.json smooths."""

    def run_step(self):
        super().run_step()
        self.__dict__.setdefault("losses", {})[self.iter] = self.storage.history("total_loss").latest()


def train(cfg, until=None, resume=False):
    """Train; returns the losses by iteration and the scores. Each call begins as a new process does."""
    seed_all_rng(cfg.SEED)
    trainer = Recorder(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.max_iter = until or trainer.max_iter
    scores = trainer.train()
    return trainer.losses, scores


MIXED = (
    "SOLVER.AMP.ENABLED",
    "True",
    "SOLVER.ACCUMULATE",
    "2",
    "MODEL.IMRSF.CHECKPOINT_BLOCKS",
    "True",
    "MODEL.IMRSF.DROP_PATH",
    "0.2",
)


@pytest.mark.parametrize(
    "opts",
    [(), MIXED, PRETRAINING, (*PRETRAINING, *MIXED)],
    ids=[
        "supervised",
        "supervised, bf16, accumulated, checkpointed",
        "pre-training",
        "pre-training, bf16, accumulated, checkpointed",
    ],
)
def test_resumed_equals_uninterrupted(tiny_config, tmp_path, opts):
    whole = tiny_config(*opts, "OUTPUT_DIR", str(tmp_path / "whole"))
    expected, scores = train(whole)
    assert sorted(expected) == [0, 1, 2, 3]

    parts = tiny_config(*opts, "OUTPUT_DIR", str(tmp_path / "parts"))
    first, _ = train(parts, until=2)
    torch.rand(5)  # whatever else drew random numbers meanwhile
    np.random.rand(5)
    second, resumed_scores = train(parts, resume=True)
    assert first | second == pytest.approx(expected, rel=1e-6)
    assert sorted(second) == [2, 3]

    assert set(scores) == set(resumed_scores) == (set() if "IncompleteMultimodalMAE" in opts else {"segm", "bbox"})
    if scores:
        assert resumed_scores["segm"] == pytest.approx(scores["segm"], nan_ok=True)
    assert list(Path(whole.OUTPUT_DIR).glob("events.out.tfevents.*"))


@pytest.mark.gpu
@pytest.mark.parametrize("opts", [(), MIXED, (*PRETRAINING, *MIXED)], ids=["supervised", "bf16", "pre-training, bf16"])
def test_resumed_on_a_gpu_is_close_to_uninterrupted(tiny_config, tmp_path, opts):
    """Close, because its kernels add gradients in whatever order their threads come to it."""
    opts = (*opts, "MODEL.DEVICE", "cuda", "DATASETS.TEST", "()")
    expected, _ = train(tiny_config(*opts, "OUTPUT_DIR", str(tmp_path / "whole")))
    parts = tiny_config(*opts, "OUTPUT_DIR", str(tmp_path / "parts"))
    first, _ = train(parts, until=2)
    torch.rand(5, device="cuda")  # whatever else drew random numbers meanwhile
    second, _ = train(parts, resume=True)
    assert sorted(second) == [2, 3]
    assert first | second == pytest.approx(expected, rel=0.01)


def test_resuming_never_takes_an_earlier_run_of_the_folder_for_one_that_has_begun(tiny_config):
    """One that has not had an iteration leaves the earlier run to be continued."""
    cfg = tiny_config(*PRETRAINING, "DATASETS.TEST", "()", "SOLVER.CHECKPOINT_PERIOD", "1")
    train(cfg, until=3)

    def start(resume):
        trainer = Recorder(cfg)
        trainer.resume_or_load(resume=resume)
        return trainer

    trainer = start(resume=False)
    assert start(resume=True).start_iter == 3
    for hook in trainer._hooks:
        hook.after_step = lambda: None  # nothing is saved
    trainer.max_iter = 1
    trainer.train()
    assert start(resume=True).start_iter == 0


def test_weights_that_do_not_exist_stop_the_training(tiny_config):
    with pytest.raises(FileNotFoundError, match="MODEL.WEIGHTS"):
        train(tiny_config("MODEL.WEIGHTS", "nowhere.pth"))


def test_an_accumulated_iteration_takes_the_samples_of_a_whole_one(tiny_config, monkeypatch):
    seen = {}
    for count in (1, 2):
        trainer = Trainer(
            tiny_config(
                "SOLVER.ACCUMULATE", str(count), "SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "(1,)", "DATASETS.TEST", "()"
            )
        )
        images = seen[count] = []
        forward = trainer.model.forward
        monkeypatch.setattr(
            trainer.model, "forward", lambda batch: images.append([s["file_name"] for s in batch]) or forward(batch)
        )
        trainer.train()
    assert [len(batch) for batch in seen[1]] == [2, 2] and [len(batch) for batch in seen[2]] == [1] * 4
    assert sum(seen[1], []) == sum(seen[2], [])


@pytest.mark.parametrize("seed", [-1, 7])
def test_a_resume_that_cannot_be_exact_is_said(tiny_config, monkeypatch, seed):
    said = []
    monkeypatch.setattr("imrsf_d2.engine.trainer.logger.warning", lambda line, *values: said.append(line % values))
    cfg = tiny_config(*PRETRAINING, "SEED", str(seed), "DATASETS.TEST", "()")
    Trainer(cfg).resume_or_load(resume=False)
    assert not said
    earlier = Trainer(cfg)  # whose checkpointer holds it weakly
    earlier.checkpointer.save("model_0000000")
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 1
    assert [line.partition(" for an")[0] for line in said] == ["SEED is -1, expected 0 or more"] * (seed < 0)


def test_each_process_and_iteration_draws_numbers_of_its_own(tiny_config, monkeypatch):
    """Processes that drew the same ones would all look at the same points of their different images."""
    trainer, drawn = Trainer(tiny_config(*PRETRAINING, "SEED", "7", "DATASETS.TEST", "()")), {}
    monkeypatch.setattr("imrsf_d2.engine.trainer.DefaultTrainer.run_step", lambda self: last.append(torch.rand(4).tolist()))
    for turn in ("first", "again"):
        for rank in (0, 1):
            monkeypatch.setattr("imrsf_d2.engine.trainer.comm.get_rank", lambda rank=rank: rank)
            for iteration in (0, 1):
                last, trainer.iter = [], iteration
                trainer.run_step()
                drawn[turn, rank, iteration] = last[0]
    places = [(rank, iteration) for rank in (0, 1) for iteration in (0, 1)]
    assert len({tuple(drawn[("first", *place)]) for place in places}) == 4
    assert all(drawn[("first", *place)] == drawn[("again", *place)] for place in places)


def test_a_training_that_would_overwrite_another_is_said(tiny_config, monkeypatch):
    said = []
    monkeypatch.setattr("imrsf_d2.engine.trainer.logger.warning", lambda line, *values: said.append(line % values))
    cfg = tiny_config(*PRETRAINING, "DATASETS.TEST", "()")
    earlier = Trainer(cfg)  # whose checkpointer holds it weakly
    earlier.checkpointer.save("model_0000000")
    Trainer(cfg).resume_or_load(resume=True)
    assert not said
    Trainer(cfg).resume_or_load(resume=False)
    assert len(said) == 1 and said[0].startswith(f"{cfg.OUTPUT_DIR} holds the checkpoints of an earlier training")


@pytest.mark.parametrize(
    "views, dropout, shared",
    [
        (["complete", "incomplete"], True, 2),
        (["incomplete", "complete"], True, 1),
        (["drawn"], True, 1),
        (["complete", "incomplete"], False, 1),
    ],
)
def test_streams_are_shared_among_views_of_which_the_first_is_complete(tiny_config, views, dropout, shared):
    opts = ["INPUT.MODALITY_DROPOUT.VIEWS", repr(views), "INPUT.MODALITY_DROPOUT.ENABLED", str(dropout)]
    assert Trainer(tiny_config(*opts)).model.backbone.views == shared
