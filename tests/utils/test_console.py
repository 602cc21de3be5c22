import logging
import warnings

import numpy as np
import pytest

from imrsf_d2.utils import console
from imrsf_d2.utils.console import hide_console, log_to, quiet_console, show_progress
from imrsf_d2.utils.errors import exit_code

OURS = logging.getLogger("imrsf_d2.some.module")
THEIRS = logging.getLogger("detectron2.some.module")


def say_everything():
    OURS.debug("our detail")
    OURS.info("our progress")
    OURS.warning("our warning")
    THEIRS.info("their detail")
    THEIRS.error("their error")
    logging.getLogger("detectron2.evaluation.evaluator").info("Inference done 11/50.")


@pytest.mark.parametrize(
    "begin, printed",
    [
        (None, ""),
        (lambda folder: show_progress(), "our progress\nInference done 11/50.\n"),
        (log_to, "our progress\nInference done 11/50.\n"),
    ],
    ids=["at first", "with progress", "with a log"],
)
def test_the_console_shows_progress_of_ours_and_warnings_of_all(begin, printed, tmp_path, capsys):
    with quiet_console():
        if begin:
            begin(tmp_path)
        say_everything()
    assert capsys.readouterr() == (printed, "warning: our warning\nerror: their error\n")


def test_the_log_has_everything_also_what_came_before_it(tmp_path):
    with quiet_console():
        OURS.debug("early")
        assert log_to(tmp_path / "new") == tmp_path / "new" / "log.txt"
        say_everything()
    lines = (tmp_path / "new/log.txt").read_text().splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == [
        "early",
        "our detail",
        "our progress",
        "our warning",
        "their detail",
        "their error",
        "Inference done 11/50.",
    ]
    assert "imrsf_d2.some.module DEBUG: early" in lines[0]


def test_a_run_logs_to_its_own_folder_alone(tmp_path):
    with quiet_console():
        for name in ("first", "second"):
            log_to(tmp_path / name)
            OURS.info("of the %s", name)
        with quiet_console():  # a run within a command
            OURS.info("still of the second")
    OURS.warning("of nobody")
    texts = [(tmp_path / name / "log.txt").read_text() for name in ("first", "second")]
    assert "second" not in texts[0] and "first" not in texts[1]
    assert "still of the second" in texts[1] and "of nobody" not in texts[1]


def test_only_the_first_process_prints(tmp_path, capsys):
    with quiet_console():
        hide_console()
        OURS.warning("twice the same")
        assert log_to(tmp_path, rank=2).name == "log.txt.rank2"
        say_everything()
    assert capsys.readouterr() == ("", "")
    assert "twice the same" in (tmp_path / "log.txt.rank2").read_text()


def test_notices_of_other_packages_go_to_the_log_and_other_warnings_to_the_console(tmp_path, capsys):
    with warnings.catch_warnings(), quiet_console():
        warnings.simplefilter("always")
        log_to(tmp_path)
        for category in (FutureWarning, DeprecationWarning, UserWarning):
            warnings.warn_explicit("will change", category, np.__file__, 1)
        warnings.warn_explicit("invalid value", RuntimeWarning, np.__file__, 1)
        warnings.warn("of a script", UserWarning, stacklevel=1)
        warnings.warn_explicit("of ours", UserWarning, console.__file__, 1)
    printed = capsys.readouterr()
    assert printed.out == "" and "will change" not in printed.err
    assert all(text in printed.err for text in ("RuntimeWarning: invalid value", "of a script", "of ours"))
    assert (tmp_path / "log.txt").read_text().count("will change") == 3


def test_a_command_prints_as_usual_after_a_run_without_one(tmp_path, capsys):
    with quiet_console():  # to be left as it was
        console.log_to(tmp_path / "command")
        root = logging.getLogger()
        before = list(root.handlers)
        for handler in before:
            handler.of_command = False
        with quiet_console():
            OURS.info("hidden")
            OURS.warning("shown")
        assert set(root.handlers) == set(before)
    assert capsys.readouterr() == ("", "warning: shown\n")
    assert not (tmp_path / "command/log.txt").read_text()


def test_a_command_leaves_logging_as_it_was(tmp_path):
    root, show, handlers = logging.getLogger(), warnings.showwarning, set(logging.getLogger().handlers)
    levels = OURS.getEffectiveLevel(), THEIRS.getEffectiveLevel()
    assert exit_code(lambda: log_to(tmp_path) and None) == 0
    assert (set(root.handlers), warnings.showwarning) == (handlers, show)
    assert (OURS.getEffectiveLevel(), THEIRS.getEffectiveLevel()) == levels
