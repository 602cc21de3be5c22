"""What a command says and returns when something is wrong."""

import pickle
import signal

import pytest

from imrsf_d2.utils.errors import InputError, Interrupted, MissingFileError, UpstreamError, exit_code, percent


def failing(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    "error",
    [
        InputError("MODEL.WEIGHTS is 'x', expected a file."),
        UpstreamError("no detectron2"),
        MissingFileError("no config file 'x.yaml'."),
        FileNotFoundError(2, "No such file or directory", "labels.json"),
        PermissionError(13, "Permission denied", "output"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_what_a_user_can_mend_is_one_line(error, capsys):
    assert exit_code(failing(error)) == 2
    captured = capsys.readouterr()
    assert captured.err == f"error: {error}\n" and captured.out == ""


@pytest.mark.parametrize(
    "error",
    [
        TypeError("unsupported operand"),
        ValueError("too many values to unpack"),
        OSError("read of closed file"),
        KeyError("x"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_mistake_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        exit_code(failing(error))


def test_ctrl_c_says_what_to_do(capsys):
    assert exit_code(failing(KeyboardInterrupt()), interrupted="run it again") == 130
    assert capsys.readouterr().err == "run it again\n"


@pytest.mark.parametrize(
    "message, said", [("interrupted at iteration 7.", "interrupted at iteration 7.\n"), ("", "run again\n")]
)
def test_an_orderly_end_says_where_it_is_and_has_the_signals_code(capsys, message, said):
    error = pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM, message)))
    assert exit_code(failing(error), interrupted="run again") == 143
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("returned, code", [(None, 0), (0, 0), (1, 1)])
def test_what_the_command_returns_is_the_exit_code(returned, code):
    assert exit_code(lambda: returned) == code


@pytest.mark.parametrize(
    "share, text", [(0, "0.0%"), (1e-9, "under 0.1%"), (0.1234, "12.3%"), (0.9999, "over 99.9%"), (1, "100.0%")]
)
def test_a_share_of_something_never_reads_as_nothing(share, text):
    assert percent(share) == text
