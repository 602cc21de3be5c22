import json

import pytest
import torch
from mask2former.maskformer_model import MaskFormer

from imrsf_d2.engine.demo_plan import make_plan
from imrsf_d2.engine.loop import TrainingLoop
from imrsf_d2.engine.pace import Pace, affordable_iterations, measure_pace, shorten, thread_choices, using_threads
from imrsf_d2.engine.set_losses import BatchCriterion


@pytest.mark.parametrize(
    "seconds, planned, expected",
    [(0.25, 1400, 1400), (2.0, 1400, 300), (60.0, 1400, 100), (60.0, 4, 4)],
    ids=["fast", "slow", "too slow to learn in time", "short anyway"],
)
def test_a_slow_machine_gets_the_iterations_that_fit(seconds, planned, expected):
    assert affordable_iterations(seconds, 600, planned) == expected


def test_warm_up_and_steps_shrink_with_the_schedule(tiny_config):
    cfg = tiny_config("SOLVER.MAX_ITER", "1400", "SOLVER.STEPS", "(1120, 1320)", "SOLVER.WARMUP_ITERS", "50")
    short = tiny_config(*shorten(cfg, 350)).SOLVER
    assert (short.MAX_ITER, short.STEPS, short.WARMUP_ITERS) == (350, (280, 330), 12)


def test_the_fastest_number_of_threads_is_chosen():
    pace = Pace({1: 1.0, 2: 2.5})
    assert (pace.threads, pace.best, str(pace)) == (1, 1.0, "1.00 s an iteration with 1 thread (2.50 s with 2)")
    assert Pace({1: 1.0, 2: 0.5}).threads == 2


def test_iterations_are_timed_in_turn_and_leave_random_numbers_alone(tiny_config, monkeypatch):
    used, steps, now = [], [], [0.0]
    monkeypatch.setattr("torch.set_num_threads", used.append)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    run_step = TrainingLoop.run_step

    def step(self):
        run_step(self)
        steps.append(used[-1])
        now[0] += used[-1] if len(steps) > 2 else 60  # a second for each thread; the first ones warm up

    monkeypatch.setattr(TrainingLoop, "run_step", step)
    cfg, state = tiny_config(), torch.random.get_rng_state()
    pace = measure_pace(cfg, [1, 2], lambda: now[0])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert steps == [1, 2] * 5 and used == [1, 3, 2, 3] * 5
    assert pace.seconds == {1: 1.0, 2: 2.0} and pace.threads == 1


def test_what_is_timed_is_what_a_config_trains_on(tiny_config, monkeypatch):
    seen = []
    forward = MaskFormer.forward

    def see(self, samples):
        seen.append((len(samples), self.backbone.views, type(self.criterion)))
        return forward(self, samples)

    monkeypatch.setattr(MaskFormer, "forward", see)
    cfg = tiny_config("INPUT.MODALITY_DROPOUT.VIEWS", "['complete', 'incomplete']")
    measure_pace(cfg, [1])
    assert set(seen) == {(2 * cfg.SOLVER.IMS_PER_BATCH, 2, BatchCriterion)}


def test_threads_are_given_back(tiny_config):
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), using_threads(1):
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == before
    assert 1 in thread_choices(tiny_config()) and max(thread_choices(tiny_config())) <= before


@pytest.mark.parametrize(
    "pace, minutes, iterations",
    [
        ({1: 0.6, 2: 0.4}, 15, 1400),
        ({1: 1.7, 2: 2.1}, 15, 435),
        ({1: 40.0, 2: 90.0}, 15, 100),
        ({1: 1.7, 2: 2.1}, None, 1400),
    ],
    ids=["normal", "busy", "hopeless", "no limit"],
)
def test_a_demo_is_shortened_where_it_would_take_too_long_and_keeps_its_plan(
    pace, minutes, iterations, tiny_config, tmp_path
):
    cfg, path = tiny_config("SOLVER.MAX_ITER", "1400"), tmp_path / "plan.json"
    measured = []
    clock = iter([100.0, 105.0]).__next__  # timing took 5 s, what came before it 20 s

    def measure(cfg, threads):
        measured.append(threads)
        return Pace(pace)

    plan = make_plan(cfg, path, minutes, 20.0, measure, clock)
    assert (plan.threads, plan.iterations) == (min(pace, key=pace.get), iterations)
    assert ("within 15 minutes" in plan.reason) == (iterations == 435)
    assert (f"Shortened from 1400 to {iterations}" in plan.reason) == (iterations < 1400)
    assert make_plan(cfg, path, minutes, measure=measure) == plan and len(measured) == 1
    make_plan(tiny_config("SOLVER.MAX_ITER", "1400", "SOLVER.BASE_LR", "0.1"), path, minutes, measure=measure)
    assert len(measured) == 2
    assert json.loads(path.read_text())["plan"]["threads"] == plan.threads
