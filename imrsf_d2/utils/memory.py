"""How much of the machine's memory this process has held."""

from __future__ import annotations

import resource
import sys

__all__ = ["peak_memory"]


def peak_memory() -> int:
    """The most bytes that this process ever held in the machine's memory."""
    # The system counts in KiB, but on macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
