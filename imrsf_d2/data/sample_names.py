"""What figures call an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["sample_name"]


def sample_name(sample: Mapping) -> str:
    """The name of a sample in figures and of files about it.

    Args:
        sample: a dataset dict or mapped sample: with `tile`, or else `file_name`.

    Returns:
        `north_7` for the tile `north/7`, whatever its files are called; `7` for a file `north/7.tif` of a sample without `tile`.
    """
    return str(sample["tile"]).replace("/", "_") if "tile" in sample else Path(sample["file_name"]).stem
