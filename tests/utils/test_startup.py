from imrsf_d2.utils.startup import Startup


def test_each_mark_counts_the_time_since_the_last_one():
    startup = Startup(iter([10.0, 15.0, 15.5, 17.0, 17.25]).__next__)
    for phase in ("imports", "data", "model", "data"):
        startup.mark(phase)
    assert startup.seconds == {"imports": 5.0, "data": 0.75, "model": 1.5}
    assert str(startup) == "7.2 s: imports 5.0, data 0.8, model 1.5"
