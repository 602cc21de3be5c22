import pytest

from imrsf_d2.engine.trainer import Trainer


@pytest.fixture
def trained(monkeypatch):
    """The iterations that were trained, with a number that tells the weights before them apart."""
    log = []
    step = Trainer.run_step

    def run_step(self):
        weights = sum(parameter.double().abs().sum().item() for parameter in self.model.parameters())
        log.append((self.cfg.OUTPUT_DIR.rpartition("/")[2], self.iter, weights))
        step(self)

    monkeypatch.setattr(Trainer, "run_step", run_step)
    return log
