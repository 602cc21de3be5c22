"""Which patches of a sample pre-training shows to the encoder (paper section III-D); the rest has to be reconstructed."""

from __future__ import annotations

import numpy as np

__all__ = ["draw_visible", "share_out"]


def draw_visible(present: np.ndarray, count: int, alpha: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the visible patches of one sample, divided among its modalities by a Dirichlet distribution.

    Args:
        present: [M, N] bool, True = this patch of this modality can be used.
        count: visible patches over all modalities.
        alpha: concentration of the symmetric Dirichlet distribution over the modalities that have any patch.
        rng: the sample's own generator.

    Returns:
        [M, N] bool, True = visible: exactly `count` of the present patches, or all of them if there are not more.
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
    """Divide `count` into whole numbers that are as close to `shares` as capacities allow.

    What exceeds a capacity goes to the others in proportion to their shares, and what rounding leaves goes to the largest
    remainders.

    Args:
        count: at most the sum of `room`, the capacities.
        shares: [m], not negative.
        room: [m] int, the most that each can take.

    Returns:
        [m] int, of sum `count`.
    """
    counts = np.zeros(len(shares), dtype=np.int64)
    while (left := count - counts.sum()) > 0:
        free = room - counts
        weights = np.where(free > 0, shares, 0.0)
        if weights.sum() == 0.0:  # only shares of zero have room left
            weights = (free > 0).astype(float)
        ideal = left * weights / weights.sum()
        more = np.minimum(np.floor(ideal).astype(np.int64), free)
        if not more.any():
            # Fewer are left than there are shares: one each, to the largest remainders.
            more[np.argsort(-ideal, kind="stable")[:left]] = 1
            more = np.minimum(more, free)
        counts += more
    return counts
