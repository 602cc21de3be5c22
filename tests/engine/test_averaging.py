"""The average of the weights against its recursion in float64, and after an interruption."""

from types import SimpleNamespace

import torch
from detectron2.utils.events import EventStorage

from imrsf_d2.engine.averaging import EndWithAverage, weight_average
from imrsf_d2.engine.loop import TrainingLoop
from imrsf_d2.engine.trainer import Trainer
from tests.engine.test_loop import Mean

DECAY = 0.7


def run(iterations, state=None):
    """A loop after some iterations, and the weights after each."""
    cfg = SimpleNamespace(SOLVER=SimpleNamespace(EMA=DECAY))
    torch.manual_seed(0)
    model = Mean()
    average = weight_average(cfg, model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    first = 0
    batches = [list(batch) for batch in torch.randn(9, 6, 3, generator=torch.Generator().manual_seed(1))]
    if state is not None:
        model.load_state_dict(state["model"])
        first = state["iteration"] + 1
    loop = TrainingLoop(model, batches[first:], optimizer, average=average)
    if state is not None:
        loop.load_state_dict(state)
    weights = []
    with EventStorage() as storage:
        for loop.iter in range(first, iterations):
            storage.iter = loop.iter
            loop.run_step()
            weights.append([p.detach().double().clone() for p in model.parameters()])
    return loop, weights


def test_the_average_follows_its_recursion_and_the_run_ends_with_it():
    loop, weights = run(6)
    expected = weights[0]
    for after in weights[1:]:
        expected = [DECAY * mean + (1 - DECAY) * now for mean, now in zip(expected, after, strict=True)]
    hook = EndWithAverage(loop.model, loop.average)
    hook.trainer = SimpleNamespace(iter=4, max_iter=6)
    hook.after_step()  # not the last iteration: the weights stay as they are
    for own, last in zip(loop.model.parameters(), weights[-1], strict=True):
        assert torch.equal(own.double(), last)
    hook.trainer = SimpleNamespace(iter=5, max_iter=6)
    hook.after_step()
    for own, mean, last in zip(loop.model.parameters(), expected, weights[-1], strict=True):
        torch.testing.assert_close(own.double(), mean, rtol=1e-6, atol=1e-7)
        assert (mean - last).abs().max() > 1e-3


def test_an_interrupted_run_has_the_same_average():
    whole, _ = run(6)
    part, _ = run(3)
    state = {**part.state_dict(), "model": {name: value.clone() for name, value in part.model.state_dict().items()}}
    resumed, _ = run(6, state)
    found, expected = resumed.average.module.state_dict(), whole.average.module.state_dict()
    assert expected and found.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []


def test_a_training_run_ends_with_its_average_and_saves_it(tiny_config):
    cfg = tiny_config("SOLVER.EMA", "0.5", "SOLVER.MAX_ITER", "3", "SOLVER.STEPS", "(2,)", "TEST.EVAL_PERIOD", "0")
    trainer, last = Trainer(cfg), {}
    run_step = trainer.run_step

    def step():
        run_step()
        last.update((name, value.detach().clone()) for name, value in trainer.model.named_parameters())

    trainer.run_step = step
    trainer.resume_or_load(resume=False)
    trainer.train()
    saved = torch.load(f"{cfg.OUTPUT_DIR}/model_final.pth", weights_only=True)["model"]
    assert saved.keys() >= last.keys() and all(torch.equal(saved[n], p) for n, p in trainer.model.named_parameters())
    assert sum(not torch.equal(saved[name], value) for name, value in last.items()) > len(last) / 2


def test_a_run_that_is_made_longer_goes_on_from_its_own_weights(tiny_config):
    """And has the average of all iterations; resumed without more of them, it keeps its average."""

    def train(output, iterations, resume):
        # A constant rate, so that the length of a run changes nothing else.
        cfg = tiny_config(
            "SOLVER.EMA", "0.5", "SOLVER.MAX_ITER", str(iterations), "SOLVER.STEPS", "()", "TEST.EVAL_PERIOD", "0"
        )
        cfg.defrost()
        cfg.OUTPUT_DIR = f"{cfg.OUTPUT_DIR}/{output}"
        torch.manual_seed(0)
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=resume)
        trainer.train()
        return dict(trainer.model.named_parameters()), trainer._trainer.average.module

    expected, expected_own = train("whole", 4, False)
    short, _ = train("longer", 2, False)
    again, _ = train("longer", 2, True)
    assert all(torch.equal(again[name], value) for name, value in short.items())
    longer, own = train("longer", 4, True)
    for name, value in expected.items():
        torch.testing.assert_close(longer[name], value, rtol=0, atol=0)
        torch.testing.assert_close(own.get_parameter(name), expected_own.get_parameter(name), rtol=0, atol=0)


def test_without_a_decay_there_is_no_average():
    assert weight_average(SimpleNamespace(SOLVER=SimpleNamespace(EMA=0.0)), Mean()) is None
