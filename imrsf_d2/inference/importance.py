"""The weights of the sensors in the windows of a block, as a file: what a `Listener` heard."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from imrsf_d2.utils.atomic import write_atomically

__all__ = ["load_importance", "save_importance"]


def save_importance(path: str | os.PathLike, found: Mapping[int, np.ndarray]) -> None:
    """Write the weights [M, n, n] of some windows, by their index, complete or not at all."""
    windows = sorted(found)
    numbers = np.array(windows, dtype=np.int64)
    beta = np.array([found[i] for i in windows], dtype=np.float32)
    write_atomically(path, lambda file: np.savez_compressed(file, allow_pickle=False, window=numbers, beta=beta))


def load_importance(path: str | os.PathLike) -> dict[int, np.ndarray]:
    """What `save_importance` wrote."""
    with np.load(path) as file:
        return dict(zip(file["window"].tolist(), file["beta"]))
