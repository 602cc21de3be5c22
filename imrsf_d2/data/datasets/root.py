"""Where the datasets are on disk."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["dataset_root", "describe_root"]


def dataset_root(root: str | os.PathLike | None, name: str) -> Path:
    """A dataset's folder.

    Args:
        root: the folder itself; None for `$DETECTRON2_DATASETS/<name>`.
        name: of the dataset.
    """
    if root is None:
        return Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser() / name
    return Path(root).expanduser()


def describe_root() -> str:
    """The setting of $DETECTRON2_DATASETS, for messages."""
    return f"$DETECTRON2_DATASETS is {os.environ.get('DETECTRON2_DATASETS', 'not set (default: datasets)')}"
