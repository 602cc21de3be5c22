import pytest

from imrsf_d2.inference import mapping
from imrsf_d2.inference.mapping import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(mapping.time, "monotonic", lambda: now[0])
    return now


def test_what_an_earlier_run_has_computed_does_not_make_the_rest_look_quick(clock):
    told = []
    progress = Progress(100, lambda *line: told.append(line))
    progress.skip(80)
    for _ in range(5):
        clock[0] += 2.0
        progress.add(3)
    assert told == [(85, 100, 15, pytest.approx(30.0))]  # 15 windows of 2 s


def test_it_is_told_every_ten_seconds_and_at_the_end(clock):
    told = []
    progress = Progress(40, lambda *line: told.append(line))
    for _ in range(40):
        clock[0] += 1.0
        progress.add(0)
    assert [line[0] for line in told] == [10, 20, 30, 40] and told[-1][3] == 0
