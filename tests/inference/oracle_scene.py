"""Scenes whose every building is known, and an oracle that sees each window's part of the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.windows import Window, WindowGrid


def _shape(rng, kind, least):
    """A building's mask, nowhere thinner than `least` px."""
    height, width = rng.integers(2 * least, 50, 2)
    if kind == "hall":
        height, width = rng.integers(250, 701, 2)
    mask = np.ones((height, width), dtype=bool)
    if kind == "l":
        mask[height // 2 :, width // 2 :] = False
    if kind == "courtyard":
        mask = np.ones((height + 2 * least, width + 2 * least), dtype=bool)
        mask[least:-least, least:-least] = False
    if kind == "u":
        mask = np.ones((height + 2 * least, width + 2 * least), dtype=bool)
        mask[:-least, least:-least] = False
    if kind == "round":
        rows, columns = np.indices(mask.shape)
        mask = ((rows - height / 2) / (height / 2)) ** 2 + ((columns - width / 2) / (width / 2)) ** 2 <= 1
    return mask


def draw_scene(seed: int, height: int, width: int, halls: int = 6, tries: int = 6000, least: int = 8) -> np.ndarray:
    """[H, W] int32, 0 = no building; rows of houses share walls, other buildings keep 3 px apart."""
    rng = np.random.default_rng(seed)
    scene, free = np.zeros((height, width), dtype=np.int32), np.ones((height, width), dtype=bool)
    number = 0
    kinds = ["hall"] * halls + rng.choice(["box", "l", "courtyard", "u", "round", "row"], tries).tolist()
    for kind in kinds:
        if kind == "row":
            count, depth, front = rng.integers(3, 12), rng.integers(least + 2, 30), rng.integers(least, 2 * least)
            labels = np.repeat(np.arange(1, count + 1), front)[None].repeat(depth, axis=0)
            labels = labels.T if rng.random() < 0.5 else labels
        else:
            labels = _shape(rng, kind, least).astype(np.int32)
        h, w = labels.shape
        if h > height or w > width:
            continue
        top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        if not free[top : top + h, left : left + w].all():
            continue
        place = scene[top : top + h, left : left + w]
        place[labels > 0] = labels[labels > 0] + number
        number += int(labels.max())
        free[max(top - 3, 0) : top + h + 3, max(left - 3, 0) : left + w + 3] = False
    return scene


def look(scene: np.ndarray, window: Window, jitter: int = 0, seed: int = 0) -> list[Detection]:
    """The true masks clipped to a window, each moved by up to `jitter` px."""
    part = scene[window.top : window.bottom, window.left : window.right]
    rng = np.random.default_rng([seed, window.index])
    found = []
    for label, box in enumerate(ndimage.find_objects(part), start=1):
        if box is None:
            continue
        mask = part[box] == label
        top, left = box[0].start, box[1].start
        if jitter:
            down, right = rng.integers(-jitter, jitter + 1, 2)
            height, width = part.shape
            rows = slice(max(-(top + down), 0), max(min(height - top - down, mask.shape[0]), 0))
            columns = slice(max(-(left + right), 0), max(min(width - left - right, mask.shape[1]), 0))
            mask, top, left = mask[rows, columns], max(top + down, 0), max(left + right, 0)
            if not mask.any():
                continue
            (inner,) = ndimage.find_objects(mask.astype(np.int8))
            mask, top, left = mask[inner], top + inner[0].start, left + inner[1].start
        score = float(rng.uniform(0.5, 1.0))
        found.append((score, window.top + top, window.left + left, mask))
    found.sort(key=lambda detection: -detection[0])
    return [Detection(window.index, number, 0, *one) for number, one in enumerate(found)]


def look_everywhere(scene, windows: WindowGrid, jitter: int = 0, seed: int = 0) -> Iterator[tuple[int, list[Detection]]]:
    for window in windows:
        yield window.index, look(scene, window, jitter, seed)


def ceiling(scene: np.ndarray, windows: WindowGrid, jitter: int, seed: int = 0) -> float:
    """Of how many buildings one jittered mask each would be right (IoU >= 0.5): the share."""
    areas = np.bincount(scene.ravel())
    right = total = 0
    for detection in look(scene, Window(0, 0, 0, max(scene.shape)), jitter, seed):
        h, w = detection.mask.shape
        counts = np.bincount(scene[detection.top : detection.top + h, detection.left : detection.left + w][detection.mask])
        counts[0] = 0
        best = int(counts.argmax())
        right += counts[best] / (areas[best] + np.count_nonzero(detection.mask) - counts[best]) >= 0.5
        total += 1
    return right / total


def compare(scene: np.ndarray, objects) -> tuple[int, int, int, int]:
    """How many buildings there are, how many came out once (IoU >= 0.5), how many twice or more, and pieces."""
    areas = np.bincount(scene.ravel())
    hits = np.zeros(len(areas), dtype=int)
    pieces = 0
    for found in objects:
        h, w = found.mask.shape
        under = scene[found.top : found.top + h, found.left : found.left + w][found.mask]
        counts = np.bincount(under)
        counts[0] = 0
        best = int(counts.argmax())
        iou = counts[best] / (areas[best] + found.mask.sum() - counts[best])
        if best and iou >= 0.5:
            hits[best] += 1
        else:
            pieces += 1
    buildings = np.flatnonzero(areas[1:]) + 1
    return len(buildings), int((hits[buildings] == 1).sum()), int((hits[buildings] > 1).sum()), pieces
