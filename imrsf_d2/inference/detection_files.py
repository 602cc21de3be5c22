"""Detections of many windows in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from imrsf_d2.inference.detections import Detection
from imrsf_d2.utils.atomic import write_atomically

__all__ = ["load_detections", "save_detections"]

_FIELDS = ("window", "number", "label", "score", "top", "left", "sensors")


def save_detections(path: str | os.PathLike, found: Mapping[int, Sequence[Detection]]) -> None:
    """Write the detections of some windows, complete or not at all.

    Args:
        found: index of a window that was looked at -> its detections.
    """
    detections = [detection for index in sorted(found) for detection in found[index]]
    arrays = {
        name: np.array([getattr(d, name) for d in detections], dtype=np.float64 if name == "score" else np.int64)
        for name in _FIELDS
    }
    arrays["looked"] = np.array(sorted(found), dtype=np.int64)
    arrays["shape"] = np.array([d.mask.shape for d in detections], dtype=np.int64).reshape(-1, 2)
    masks = [np.packbits(d.mask) for d in detections]
    arrays["masks"] = np.concatenate(masks) if masks else np.zeros(0, dtype=np.uint8)
    write_atomically(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def load_detections(path: str | os.PathLike) -> dict[int, list[Detection]]:
    """What `save_detections` wrote."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    found: dict[int, list[Detection]] = {int(index): [] for index in arrays["looked"]}
    position = 0
    for i, (height, width) in enumerate(arrays["shape"].tolist()):
        size = -(-height * width // 8)
        bits = arrays["masks"][position : position + size]
        position += size
        mask = np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)
        window, number, label, top, left, sensors = (
            int(arrays[name][i]) for name in ("window", "number", "label", "top", "left", "sensors")
        )
        found[window].append(Detection(window, number, label, float(arrays["score"][i]), top, left, mask, sensors))
    return found
