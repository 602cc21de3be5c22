"""Ctrl-C and SIGTERM in a training run: real signals, sent to this process in the middle of an iteration or elsewhere."""

import multiprocessing
import os
import signal

import pytest
import torch
from detectron2.engine import HookBase

from imrsf_d2.engine import interruption
from imrsf_d2.engine.interruption import watch_signals
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.utils.errors import Interrupted, exit_code
from tests.engine.test_trainer import Recorder
from tests.tiny import DEMO_CONFIG, PRETRAINING


@pytest.fixture(autouse=True)
def usual_handlers():
    """A job in the background may have been started to ignore Ctrl-C."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    assert {number: signal.getsignal(number) for number in usual} == usual
    for number, handler in before.items():
        signal.signal(number, handler)


class Signalled(Recorder):
    """Gets signals in the middle of an iteration."""

    at, signals = 1, (signal.SIGTERM,)

    def run_step(self):
        if self.iter == self.at:
            for number in self.signals:
                signal.raise_signal(number)
        super().run_step()


@pytest.fixture
def train(tiny_config, tmp_path, monkeypatch):
    """Trains, by default in tmp_path / "run" and to the end; returns the trainer and how it ended."""
    evaluations = []
    monkeypatch.setattr(Trainer, "test", classmethod(lambda *_: evaluations.append(1) or {"task": {"AP": 1.0}}))

    def run(kind=Recorder, *opts, resume=False, **attributes):
        torch.manual_seed(0)
        trainer = type(kind.__name__, (kind,), attributes)(
            tiny_config(*PRETRAINING, "DATASETS.TEST", "()", "SOLVER.CHECKPOINT_PERIOD", "100", *opts)
        )
        trainer.resume_or_load(resume=resume)
        trainer.evaluations = evaluations
        evaluations.clear()
        try:
            trainer.train()
        except BaseException as error:
            return trainer, error
        return trainer, None

    return run


def checkpoints(tmp_path):
    return sorted(path.name for path in (tmp_path / "run").glob("*.pth"))


def weights(trainer):
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.fixture
def whole(train, tmp_path):
    """A training run without interruption."""
    trainer, error = train(Recorder, "OUTPUT_DIR", str(tmp_path / "whole"))
    assert error is None
    return trainer


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_and_resumed_training_is_an_uninterrupted_one(train, whole, tmp_path, capfd, number, code):
    first, error = train(Signalled, signals=(number,))
    assert isinstance(error, Interrupted) and sorted(first.losses) == [0, 1]
    assert checkpoints(tmp_path) == ["model_interrupted.pth"] and not first.evaluations

    err = capfd.readouterr().err
    assert f"{signal.Signals(number).name}: training stops after this iteration" in err

    def again():
        raise error

    assert exit_code(again, interrupted="something else") == code
    assert capfd.readouterr().err == ("interrupted at iteration 2; the same command with --resume goes on from here.\n")

    second, error = train(resume=True)
    assert error is None and sorted(second.losses) == [2, 3]
    assert first.losses | second.losses == pytest.approx(whole.losses, rel=1e-6)
    assert torch.allclose(weights(second), weights(whole), rtol=1e-6, atol=1e-8)
    assert (tmp_path / "run" / "last_checkpoint").read_text() == "model_final.pth"


def test_what_the_schedule_has_just_saved_is_not_saved_again(train, tmp_path):
    _, error = train(Signalled, "SOLVER.CHECKPOINT_PERIOD", "2")
    assert isinstance(error, Interrupted) and checkpoints(tmp_path) == ["model_0000001.pth"]


def test_the_checkpoint_of_an_earlier_training_is_not_taken_for_this_ones(train, tmp_path):
    train(Signalled)
    first = (tmp_path / "run" / "model_interrupted.pth").stat().st_mtime_ns
    train(Signalled)
    assert (tmp_path / "run" / "model_interrupted.pth").stat().st_mtime_ns > first


def test_an_evaluation_is_not_waited_for(train, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            Trainer,
            "test",
            classmethod(lambda *_: (signal.raise_signal(signal.SIGTERM), pytest.fail("went on with the evaluation"))),
        )
        first, error = train(Recorder, "TEST.EVAL_PERIOD", "3")
    assert isinstance(error, Interrupted) and str(error).startswith("interrupted at iteration 3;")
    assert checkpoints(tmp_path) == ["model_interrupted.pth"]
    second, error = train(resume=True)
    assert error is None and sorted(second.losses) == [3]
    assert first.losses | second.losses == pytest.approx(whole.losses, rel=1e-6)


def test_after_the_last_iteration_nothing_is_left_but_the_evaluation(train, tmp_path):
    first, error = train(Signalled, at=3)
    assert isinstance(error, Interrupted) and str(error).startswith("interrupted at iteration 4;")
    assert checkpoints(tmp_path) == ["model_final.pth"] and not first.evaluations
    second, error = train(resume=True)
    assert error is None and not hasattr(second, "losses") and second.evaluations == [1]


def test_the_last_evaluation_ends_at_once(train, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Trainer,
        "test",
        classmethod(lambda *_: (signal.raise_signal(signal.SIGINT), pytest.fail("went on with the evaluation"))),
    )
    _, error = train()
    assert isinstance(error, Interrupted) and error.number == signal.SIGINT
    assert checkpoints(tmp_path) == ["model_final.pth"]


class SignalledBefore(HookBase):
    def before_train(self):
        signal.raise_signal(signal.SIGTERM)


def test_before_the_first_iteration_there_is_nothing_to_save(train, tmp_path):
    def build_hooks(self):
        return [SignalledBefore(), *Recorder.build_hooks(self)]

    trainer, error = train(build_hooks=build_hooks)
    assert isinstance(error, Interrupted) and str(error) == "interrupted before the first iteration."
    assert not hasattr(trainer, "losses") and checkpoints(tmp_path) == []


def test_a_second_ctrl_c_ends_at_once(train, tmp_path, monkeypatch):
    monkeypatch.setattr(interruption, "_SAME_S", -1.0)
    trainer, error = train(Signalled, signals=(signal.SIGTERM, signal.SIGINT))
    assert type(error) is KeyboardInterrupt and sorted(trainer.losses) == [0]
    assert checkpoints(tmp_path) == []


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM, signal.SIGTERM)],
    ids=["a terminal and a launcher", "a queue"],
)
def test_signals_that_come_together_are_one(train, tmp_path, signals):
    trainer, error = train(Signalled, signals=signals)
    assert isinstance(error, Interrupted) and error.number == signal.SIGINT and sorted(trainer.losses) == [0, 1]
    assert checkpoints(tmp_path) == ["model_interrupted.pth"]


def test_a_failure_after_a_signal_is_no_checkpoint(train, tmp_path):
    def run_step(self):
        Signalled.run_step(self)
        if self.iter == 1:
            raise RuntimeError("half an iteration")

    _, error = train(Signalled, run_step=run_step)
    assert isinstance(error, RuntimeError) and checkpoints(tmp_path) == []


def test_the_loaders_processes_outlive_a_signal_to_all(train):
    """A terminal sends Ctrl-C to them too; without them the iteration could not be finished."""
    workers = []

    def run_step(self):
        Recorder.run_step(self)
        if self.iter == 0:
            workers.extend(multiprocessing.active_children())
            for worker in workers:
                os.kill(worker.pid, signal.SIGINT)
                os.kill(worker.pid, signal.SIGTERM)

    trainer, error = train(Recorder, "DATALOADER.NUM_WORKERS", "1", run_step=run_step)
    assert error is None and sorted(trainer.losses) == [0, 1, 2, 3] and len(workers) == 1


def test_what_was_to_be_ignored_stays_ignored():
    """A job that a shell started in the background does not end with what runs in front."""
    heard = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with watch_signals(heard.append):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGTERM]


def test_an_interrupted_study_goes_on_by_itself(tiny_config, tmp_path, monkeypatch):
    from imrsf_d2.engine.resuming import train_or_load
    from imrsf_d2.engine.stopwatch import Stopwatch

    monkeypatch.setattr("imrsf_d2.engine.resuming.Trainer", Signalled)
    cfg = tiny_config(*PRETRAINING, "DATASETS.TEST", "()", "SOLVER.CHECKPOINT_PERIOD", "100")
    with pytest.raises(Interrupted, match="^interrupted at iteration 2; the same command goes on from here.$"):
        train_or_load(cfg, DEMO_CONFIG, Stopwatch(tmp_path / "timings.json"))
    train_or_load(cfg, DEMO_CONFIG, Stopwatch(tmp_path / "timings.json"))
    assert checkpoints(tmp_path) == ["model_final.pth", "model_interrupted.pth"]
