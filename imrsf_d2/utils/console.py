"""What a command prints: what a person reads goes to the console, every detail to the run's log.txt.

Our own loggers follow one rule: DEBUG is for log.txt alone, INFO for the console too. Of other packages the console shows
warnings and errors, but not their notices about interfaces that will change, which no user can act on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, TypeVar

from imrsf_d2.utils.command_names import as_called

__all__ = ["LOG_FILE", "hide_console", "log_to", "quiet_console", "show_progress"]

LOG_FILE = "log.txt"
#: Loggers below these names are ours.
_OURS = ("imrsf_d2", "projects")
#: Loggers whose every record is kept for log.txt.
_DETAILED = (*_OURS, "detectron2", "fvcore")
#: Evaluations of many images say how far they are by this logger, every few seconds.
_EVALUATION = "detectron2.evaluation.evaluator"
_EVALUATION_PERIOD_S = 60.0
#: What other packages tell their callers' authors.
_NOTICES = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning)
Kind = TypeVar("Kind", bound=logging.Handler)

_PACKAGE = Path(__file__).resolve().parents[1]
_STDLIB = Path(os.__file__).parent


class _Console(logging.Handler):
    """Prints a record's message: progress on stdout, warnings and errors on stderr.

    Records that come before a log file is open are held for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.progress = False
        self.hidden = False
        self.of_command = False
        self.held: deque[logging.LogRecord] | None = deque(maxlen=1000)
        self._evaluation_shown = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if self.held is not None:
            self.held.append(record)
        if self.hidden or not self._is_for_a_person(record):
            return
        try:
            serious = record.levelno >= logging.WARNING
            prefix = f"{record.levelname.lower()}: " if serious else ""
            # The streams of this moment: who redirects them means what is printed from then on.
            print(as_called(f"{prefix}{self.format(record)}"), file=sys.stderr if serious else sys.stdout, flush=True)
        except Exception:
            self.handleError(record)

    def _is_for_a_person(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            return True
        if not self.progress or record.levelno < logging.INFO:
            return False
        if record.name == _EVALUATION:
            due = record.created - self._evaluation_shown > _EVALUATION_PERIOD_S
            if due:
                self._evaluation_shown = record.created
            return due and record.getMessage().startswith("Inference done")
        return record.name.partition(".")[0] in _OURS


class _LogFile(logging.FileHandler):
    """A run's log.txt."""

    def __init__(self, path: Path):
        super().__init__(path, encoding="utf-8")
        self.setFormatter(logging.Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", datefmt="%m/%d %H:%M:%S"))


@contextlib.contextmanager
def quiet_console() -> Iterator[None]:
    """Let the block's logging follow this module's rule; afterwards all is as it was. Within another such block it does
    nothing.

    Without `log_to` the console shows warnings and errors alone, so that what a command prints can be redirected.
    """
    root = logging.getLogger()
    outer = _find(_Console)
    if outer is not None and outer.of_command:
        yield
        return
    # Of a run in this process that no command started.
    others = [handler for handler in root.handlers if isinstance(handler, (_Console, _LogFile))]
    for handler in others:
        root.removeHandler(handler)
    show_warning = warnings.showwarning
    levels = {name: logging.getLogger(name).level for name in (*_DETAILED, "py.warnings")}
    _start().of_command = True
    try:
        yield
    finally:
        _close(_Console, _LogFile)
        for handler in others:
            root.addHandler(handler)
        warnings.showwarning = show_warning
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def log_to(folder: str | os.PathLike, rank: int = 0) -> Path:
    """Log every detail from here on, and what was logged before a file was open, to a run's folder.

    The console shows progress from here on. Another run's file is closed.

    Args:
        folder: made if needed.
        rank: of this process; only the first one prints, each has a file of its own.

    Returns:
        The file: log.txt, or log.txt.rank1 and so on.
    """
    console = _find(_Console) or _start()
    path = Path(folder) / (f"{LOG_FILE}.rank{rank}" if rank else LOG_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    _close(_LogFile)
    file = _LogFile(path)
    logging.getLogger().addHandler(file)
    for record in console.held or ():
        file.handle(record)
    console.held, console.progress = None, True
    console.hidden = rank > 0
    return path


def show_progress() -> None:
    """Print our progress without a log file."""
    (_find(_Console) or _start()).progress = True


def hide_console() -> None:
    """Print nothing from this process: another one prints what is the same in all."""
    (_find(_Console) or _start()).hidden = True


def _start() -> _Console:
    console = _Console()
    logging.getLogger().addHandler(console)
    for name in _DETAILED:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger("py.warnings").setLevel(logging.INFO)
    warnings.showwarning = _log_warning
    return console


def _find(kind: type[Kind]) -> Kind | None:
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, kind)), None)


def _close(*kinds: type[logging.Handler]) -> None:
    for handler in [handler for handler in logging.getLogger().handlers if type(handler) in kinds]:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Takes the place of `warnings.showwarning`: other packages' notices are detail."""
    detail = issubclass(category, _NOTICES) and _is_others(filename)
    logging.getLogger("py.warnings").log(
        logging.INFO if detail else logging.WARNING, "%s:%d: %s: %s", filename, lineno, category.__name__, message
    )


def _is_others(filename: str) -> bool:
    """Whether a file belongs to an installed package or to Python itself; not to us, nor to the user's own code."""
    path = Path(filename).absolute()
    if path.is_relative_to(_PACKAGE):
        return False
    return bool({"site-packages", "dist-packages"}.intersection(path.parts)) or path.is_relative_to(_STDLIB)
