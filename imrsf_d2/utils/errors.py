"""Errors that a user can mend, and how a command ends when it meets one: its message, exit code 2, no traceback."""

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
    "NotAFolderError",
    "OccupiedError",
    "UpstreamError",
    "UserError",
    "exit_code",
    "is_mendable",
    "some_of",
]


class UserError(Exception):
    """Base of every error that is not a mistake of this package's: its message names the file or key, what was found
    and what was expected."""


class InputError(UserError, ValueError):
    """A config, a file's content or an argument that cannot be worked with."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that has to be there."""


class OccupiedError(UserError, FileExistsError):
    """An output that holds something which must not be overwritten."""


class NotAFolderError(UserError, NotADirectoryError):
    """A file where a folder has to be."""


class UpstreamError(UserError, ImportError):
    """detectron2, Mask2Former or the attention op is missing or broken; the message says how to get it."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after which the work was left in order.

    Args:
        number: of the signal.
        message: where it stopped and how to go on; empty leaves that to the command.
    """

    def __init__(self, number: int, message: str = ""):
        super().__init__(number, message)  # both, so that it travels between processes
        self.number, self.message = number, message

    def __str__(self) -> str:
        return self.message


#: What the machine refuses, whichever program asks: the system's own words name the file and the reason.
SYSTEM_ERRNOS = (
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
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


def is_mendable(error: BaseException) -> bool:
    """Whether an error is for the user, who needs its message alone; any other is a mistake of ours."""
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in SYSTEM_ERRNOS)


def exit_code(work: Callable[[], int | None], interrupted: str = "interrupted.") -> int:
    """Do what a command does and turn the errors that its user can mend into its last line.

    Args:
        work: the command; what it returns is the exit code, None means 0.
        interrupted: what to say after Ctrl-C, where the work itself does not say it.

    Returns:
        The exit code: 2 after such an error, 130 after Ctrl-C, 143 after a SIGTERM that the work took note of. Any
        other error is a mistake of ours and keeps its traceback.
    """
    try:
        with quiet_console():
            return work() or 0
    except (UserError, OSError) as error:
        if not is_mendable(error):
            raise
        print(as_called(f"error: {error}"), file=sys.stderr)
        return 2
    except Interrupted as error:
        print(error.message or interrupted, file=sys.stderr)
        return 128 + error.number
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 128 + signal.SIGINT
