"""Errors that a user can fix, and how a command reports them: the message, exit code 2, no traceback."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Callable, Iterable

from imrsf_d2.utils.command_names import as_called
from imrsf_d2.utils.console import quiet_console

__all__ = [
    "InputError",
    "Interrupted",
    "MissingFileError",
    "MissingPackageError",
    "NotAFolderError",
    "OccupiedError",
    "UpstreamError",
    "UserError",
    "counted",
    "exit_code",
    "is_user_error",
    "percent",
    "refuse",
    "some_of",
]


class UserError(Exception):
    """Base of all errors that are not bugs of this package: the message names the file or key, what was found and what
    was expected."""


class InputError(UserError, ValueError):
    """An invalid config, file content or argument."""


class MissingFileError(UserError, FileNotFoundError):
    """A required file or folder that is missing."""


class MissingPackageError(UserError, ImportError):
    """A package of one of the extras that is not installed; the message names the extra."""


class OccupiedError(UserError, FileExistsError):
    """An output folder or file that must not be overwritten."""


class NotAFolderError(UserError, NotADirectoryError):
    """A file where a folder is required."""


class UpstreamError(UserError, ImportError):
    """detectron2, Mask2Former or the attention op is missing or broken; the message says how to get it."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after which the work was saved.

    Args:
        number: of the signal.
        message: where the work stopped and how to continue; if empty, the command says so.
    """

    def __init__(self, number: int, message: str = ""):
        super().__init__(number, message)  # both, so that it travels between processes
        self.number, self.message = number, message

    def __str__(self) -> str:
        return self.message


#: Errors of the operating system: its own message names the file and the reason.
SYSTEM_ERRNOS = (
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EISDIR,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)


def some_of(names: Iterable[object], most: int = 10) -> str:
    """The first names of a list that may be long, for a message: "'a', 'b' and 5 more"."""
    shown = [repr(name) for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return f"{', '.join(shown[:most])}{more}"


def percent(share: float) -> str:
    """A share as text that reads 0% or 100% only if it is exactly that."""
    text = f"{share:.1%}"
    return {"0.0%": "under 0.1%", "100.0%": "over 99.9%"}.get(text, text) if 0 < share < 1 else text


def counted(number: int, name: str) -> str:
    """A number of things: "1 window", "12 windows"."""
    return f"{number} {name}{'s' * (number != 1)}"


def refuse(problem: UserError) -> None:
    """Raise an error: what is done about a problem unless all of them are to be listed."""
    raise problem


def is_user_error(error: BaseException) -> bool:
    """Whether a user can fix an error, and so needs its message alone; any other is a bug."""
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in SYSTEM_ERRNOS)


def exit_code(work: Callable[[], int | None], interrupted: str = "interrupted.") -> int:
    """Run a command; an error that its user can fix becomes its last line.

    Args:
        work: the command; what it returns is the exit code, None means 0.
        interrupted: printed after Ctrl-C, if the work itself has no message.

    Returns:
        The exit code: 2 after such an error, 130 after Ctrl-C, 143 after a SIGTERM that the work handled. Any other
        error is a bug and keeps its traceback.
    """
    try:
        with quiet_console():
            return work() or 0
    except (UserError, OSError) as error:
        if not is_user_error(error):
            raise
        print(as_called(f"error: {error}"), file=sys.stderr)
        return 2
    except Interrupted as error:
        print(error.message or interrupted, file=sys.stderr)
        return 128 + error.number
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 128 + signal.SIGINT
