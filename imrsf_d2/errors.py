"""How a command ends when something is wrong that its user can mend: one line, exit code 2, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

__all__ = ["UpstreamError", "exit_code"]


class UpstreamError(ImportError):
    """detectron2, Mask2Former or the attention op is missing or broken; the message says how to get it."""


def exit_code(work: Callable[[], int | None], interrupted: str = "interrupted.") -> int:
    """Do what a command does and turn the errors that name a file or key into its last line.

    Args:
        work: the command; what it returns is the exit code, None means 0.
        interrupted: what to say after Ctrl-C.

    Returns:
        The exit code: 2 after such an error, 130 after Ctrl-C.
    """
    try:
        return work() or 0
    except (UpstreamError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
