"""Which of several processes' errors reaches the user, and how much of it."""

import signal

import pytest
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from imrsf_d2.engine import process_errors
from imrsf_d2.engine.process_errors import noting_errors, raise_what_stopped
from imrsf_d2.geo.rasters import RasterError
from imrsf_d2.utils.errors import InputError, Interrupted

LINES = "three files cannot be read:\n  a.tif\n  b.tif: no bands\nRun --check."
OURS, WAITED = ValueError("not enough values"), RuntimeError("connection closed by peer")
STOP = Interrupted(signal.SIGTERM, "interrupted at iteration 3.")
TORCH = ProcessRaisedException("what torch saw", 0, 99)


class Awkward(InputError):
    """Does not come back from a pickle."""

    def __init__(self, one, two):
        super().__init__(f"{one} and\n{two}")


@pytest.fixture
def outcome(tmp_path, monkeypatch):
    """What is raised after the given (rank, error), in this order; None if nothing is."""

    def run(*errors, failure=TORCH, received=None):
        clock = iter(range(100))
        monkeypatch.setattr(process_errors.time, "monotonic", lambda: next(clock))
        for rank, error in errors:

            def work(error=error):
                raise error

            monkeypatch.setattr(process_errors.comm, "get_local_rank", lambda rank=rank: rank)
            with pytest.raises(type(error)):
                noting_errors(work, str(tmp_path))
        try:
            raise_what_stopped(str(tmp_path), failure, received)
        except BaseException as error:
            return error

    return run


@pytest.mark.parametrize(
    "error",
    [InputError(LINES), RasterError(LINES, "a.tif", "truncated"), FileNotFoundError(2, "No such", "x")],
    ids=lambda error: type(error).__name__,
)
def test_a_users_error_arrives_as_it_was_with_all_its_lines(outcome, error):
    got = outcome((1, error), (0, WAITED))
    assert type(got) is type(error) and str(got) == str(error)


def test_one_that_cannot_travel_leaves_its_message(outcome):
    got = outcome((0, Awkward("this", "that")))
    assert isinstance(got, InputError) and str(got) == "this and\nthat"


@pytest.mark.parametrize("first, second", [(OURS, WAITED), (OURS, STOP)], ids=["in vain", "told to end because of it"])
def test_of_our_mistakes_the_first_is_shown_with_its_traceback(outcome, first, second):
    got = outcome((1, first), (0, second))
    assert isinstance(got, ProcessRaisedException)
    assert str(got).startswith("process 1 failed:\nTraceback") and str(got).endswith("ValueError: not enough values\n")


def test_what_users_can_mend_explains_what_they_cannot(outcome):
    assert str(outcome((0, WAITED), (1, InputError("SEED is x")))) == "SEED is x"


@pytest.mark.parametrize(
    "errors, received, number, message",
    [
        ([(0, STOP), (1, STOP)], signal.SIGINT, 2, STOP.message),
        ([(0, STOP), (1, STOP)], None, 15, STOP.message),  # sent to the processes, not to the one that started them
        ([(1, WAITED), (0, STOP)], signal.SIGTERM, 15, STOP.message),
        ([], signal.SIGTERM, 15, ""),  # before they took note of signals
    ],
    ids=["passed on", "by itself", "in vain", "early"],
)
def test_an_interruption_is_one_whatever_else_fails_because_of_it(outcome, errors, received, number, message):
    got = outcome(*errors, received=received)
    assert isinstance(got, Interrupted) and (got.number, got.message) == (number, message)


def test_work_that_ends_well_raises_nothing_even_after_a_signal(outcome):
    assert outcome(failure=None) is None and outcome(failure=None, received=signal.SIGTERM) is None


def test_a_process_that_was_killed_is_told_of_in_torchs_words(outcome):
    assert outcome() is TORCH


LOST = RuntimeError(
    "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:4096. Expected 4 bytes.\nException raised"
)


def test_where_all_have_only_lost_another_one_the_user_is_sent_to_its_machine(outcome):
    got = outcome((1, LOST), (0, LOST))
    assert isinstance(got, InputError) and "(Connection closed by peer [10.0.0.2]:4096)" in str(got)
    assert "the machine that it ran on" in str(got) and "--resume" in str(got)


def test_a_lost_connection_does_not_hide_the_mistake_that_another_process_here_made(outcome):
    assert str(outcome((0, LOST), (1, OURS))).startswith("process 1 failed:\nTraceback")


def test_a_lost_connection_does_not_hide_that_a_process_here_was_killed(outcome):
    killed = ProcessExitedException("process 1 terminated with signal SIGKILL", 1, 99, exit_code=-9, signal_name="SIGKILL")
    assert outcome((0, LOST), failure=killed) is killed
