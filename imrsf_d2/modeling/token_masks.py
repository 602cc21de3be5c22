"""Which patches of a sample pre-training shows to the encoder (paper section III-C): the rest is to be reconstructed."""

from __future__ import annotations

import numpy as np

__all__ = ["draw_visible", "share_out"]


def draw_visible(present: np.ndarray, count: int, alpha: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the visible patches of one sample: a Dirichlet law divides them among its modalities.

    Args:
        present: [M, N] bool, True = this patch of this modality can be used.
        count: visible patches of all modalities together.
        alpha: of the symmetric Dirichlet law over the modalities that have any patch.
        rng: the sample's own generator.

    Returns:
        [M, N] bool, True = visible: exactly `count` of the present patches, or all of them if there are no more.
    """
    if present.sum() <= count:
        return present.copy()
    available = present.sum(axis=1)
    having = np.flatnonzero(available)
    counts = share_out(count, rng.dirichlet(np.full(len(having), alpha)), available[having])
    visible = np.zeros_like(present)
    for m, of_modality in zip(having, counts):
        visible[m, rng.permutation(np.flatnonzero(present[m]))[:of_modality]] = True
    return visible


def share_out(count: int, shares: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Divide `count` into whole numbers, as near to `shares` as their room allows.

    What exceeds a place's room goes to the others in proportion to their shares; what rounding leaves, to the largest
    remainders.

    Args:
        count: at most the sum of `room`.
        shares: [m], not negative.
        room: [m] int, the most that each can take.

    Returns:
        [m] int, of sum `count`.
    """
    counts = np.zeros(len(shares), dtype=np.int64)
    while (left := count - counts.sum()) > 0:
        free = room - counts
        weights = np.where(free > 0, shares, 0.0)
        if weights.sum() == 0.0:  # only places of no share have room left
            weights = (free > 0).astype(float)
        ideal = left * weights / weights.sum()
        more = np.minimum(np.floor(ideal).astype(np.int64), free)
        if not more.any():
            # Fewer left than there are places: one each, to the largest remainders.
            more[np.argsort(-ideal, kind="stable")[:left]] = 1
            more = np.minimum(more, free)
        counts += more
    return counts
