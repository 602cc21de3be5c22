"""The command line of this process, to be repeated by the reader of a report."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

__all__ = ["this_command"]


def this_command(without: str | None = None) -> str:
    """The command that started this process, with `python` or as `imrsf`.

    Args:
        without: an option that is left out, with its value.
    """
    program, *arguments = sys.argv
    kept, is_value = [], False
    for argument in arguments:
        if not is_value and argument != without and not argument.startswith(f"{without}="):
            kept.append(argument)
        is_value = argument == without
    called = ["imrsf"] if Path(program).stem == "imrsf" else ["python", os.path.relpath(program)]
    return shlex.join([*called, *kept])
