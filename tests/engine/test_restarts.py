"""What torchrun starts again after a failure continues its own training run, and no earlier one of the same folder."""

import pytest
import torch

from imrsf_d2.engine.agreement import any_process
from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.torchrun import may_be_restarted, was_restarted
from imrsf_d2.engine.trainer import Trainer
from tests.engine.test_torchrun import TORCHRUN
from tests.tiny import DEMO_CONFIG, OVERRIDES, PRETRAINING
from tests.tools.test_train_net import load_tool

ALONE = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


def test_only_torchrun_restarts_and_only_where_it_is_told_to():
    def told(place, restarts, most):
        environment = {**place, "TORCHELASTIC_RESTART_COUNT": str(restarts), "TORCHELASTIC_MAX_RESTARTS": str(most)}
        return was_restarted(environment), may_be_restarted(environment)

    assert told(TORCHRUN, 0, 0) == (False, False)
    assert told(TORCHRUN, 0, 3) == (False, True)
    assert told(TORCHRUN, 2, 3) == (True, True)
    assert told({}, 2, 3) == (False, False)
    assert (was_restarted(TORCHRUN), may_be_restarted(TORCHRUN)) == (False, False)  # of a launcher that does not say


def test_a_machine_that_is_new_continues_with_those_that_were_restarted(monkeypatch):
    monkeypatch.setattr("imrsf_d2.engine.agreement.comm.all_gather", lambda own: [True, own])
    assert any_process(False)
    monkeypatch.undo()
    assert not any_process(False)


def test_a_restart_continues_this_run_from_its_last_checkpoint(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    train_net = load_tool("train_net")
    run_step, iterations = Trainer.run_step, []

    def train(restarts=None, fails_at=None, folder="run"):
        """The weights in the end; torchrun starts the process if it is told how often it has."""

        def step(self):
            if self.iter == fails_at:
                raise RuntimeError("a GPU fell off the bus")
            iterations.append(self.iter)
            run_step(self)

        iterations.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "run_step", step)
            if restarts is not None:
                counts = {"TORCHELASTIC_MAX_RESTARTS": "3", "TORCHELASTIC_RESTART_COUNT": str(restarts)}
                for name, value in {**ALONE, **counts}.items():
                    patch.setenv(name, value)
            changes = [*OVERRIDES, *PRETRAINING, "DATASETS.TEST", "()", "OUTPUT_DIR", str(tmp_path / folder)]
            train_net.main(["--config-file", str(DEMO_CONFIG), *changes])
        return torch.load(tmp_path / folder / "model_final.pth", weights_only=True)["model"]

    expected = train()  # its four iterations also leave an earlier run in the folder
    with pytest.raises(RuntimeError, match="fell off"):
        train(restarts=0, fails_at=1)
    with pytest.raises(RuntimeError, match="fell off"):
        train(restarts=1, fails_at=3)
    assert iterations == [0, 1, 2]  # nothing of its own to continue; the earlier run was at its end
    got = train(restarts=2)
    assert iterations == [2, 3]
    assert all(torch.allclose(got[name], value, rtol=1e-6, atol=1e-8) for name, value in expected.items())


def test_forgetting_the_last_checkpoint_keeps_the_files(tmp_path):
    checkpointer = Checkpointer(torch.nn.Linear(1, 1), str(tmp_path))
    checkpointer.forget_last()  # there is none yet
    checkpointer.save("model_0")
    checkpointer.forget_last()
    assert not checkpointer.has_checkpoint() and [path.name for path in tmp_path.iterdir()] == ["model_0.pth"]
