"""Durations are what was timed, ratios are of neighbors in time, and a table says what meets its target."""

import time

import pytest

from projects.benchmarks.results import Line, Result
from projects.benchmarks.timing import Measurement, measure, measure_together
from tests.markdown import read_tables


def test_median_and_spread_by_hand():
    timed = Measurement((0.2, 0.1, 0.4))
    assert timed.median == 0.2 and timed.spread == (0.1, 0.4)
    assert timed.in_ms() == "200.00 (100.00 to 400.00)" and timed.in_ms(10) == "20.00 (10.00 to 40.00)"
    assert timed.rate(10) == "50 (25 to 100)"


def test_a_ratio_pairs_what_ran_in_the_same_round():
    assert Measurement((0.2, 0.4)).over(Measurement((0.1, 0.8))) == pytest.approx((2.0, 0.5))
    assert Measurement((0.2,)).over(Measurement((0.1,)), 3.0) == pytest.approx((6.0,))
    with pytest.raises(ValueError):
        Measurement((0.2,)).over(Measurement((0.1, 0.1)))


def test_the_warm_up_is_not_timed_and_the_device_is_waited_for():
    calls, waits = [], []
    timed = measure(
        lambda: (calls.append(0), time.sleep(0.2 if len(calls) == 1 else 0.01)),
        repeats=3,
        synchronize=lambda: waits.append(0),
    )
    assert len(calls) == 4 and len(timed.seconds) == 3 and len(waits) == 8
    assert 0.01 <= timed.median and timed.spread[0] < 0.2


def test_works_measured_together_take_turns_and_every_second_round_runs_backwards():
    calls = []
    timed = measure_together({name: lambda name=name: calls.append(name) for name in "abc"}, repeats=2, warm_up=1)
    assert "".join(calls) == "abc" + "cba" + "abc"
    assert list(timed) == ["a", "b", "c"] and all(len(t.seconds) == 2 for t in timed.values())


@pytest.mark.parametrize(
    "sign,values,met",
    [("<=", (0.4, 0.5, 0.9), True), ("<=", (0.51,), False), (">=", (0.5,), True), (">=", (0.1, 0.4, 0.9), False)],
)
def test_the_median_decides_whether_a_target_is_met(sign, values, met):
    line = Line("half", values, 0.5, sign, "x")
    assert line.met is met
    assert line.cells()[1] == f"{sign} 0.50x" and line.cells()[3] == ("yes" if met else "no")


def test_a_result_reads_the_same_as_markdown_and_as_json():
    result = Result(
        "Title",
        [Line("speed", (2.0, 1.0, 4.0), 3.0, ">=", "x"), Line("told", (7.0,))],
        {"work": Measurement((0.01, 0.03, 0.02))},
        ["A note."],
    )
    text = result.as_markdown()
    assert text.startswith("## Title\n\nA note.\n\n")
    lines, timings = read_tables(text)
    assert lines[1][2:] == ["2.00x (1.00 to 4.00)", "no"] and timings[1] == ["work", "20.00 (10.00 to 30.00) ms"]
    data = result.as_json()
    assert [(line["median"], line["met"]) for line in data["lines"]] == [(2.0, False), (7.0, None)]
    assert data["seconds"] == {"work": [0.01, 0.03, 0.02]} and data["notes"] == ["A note."]
