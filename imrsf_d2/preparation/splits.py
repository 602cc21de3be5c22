"""Whole cities for training and for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from imrsf_d2.errors import InputError

__all__ = ["VAL_SHARE", "choose_val_cities"]

#: Of the tiles, as in the paper: 783 of 6123.
VAL_SHARE = 0.13
# A city that would take the held-out tiles beyond this multiple of the share is passed over.
SLACK = 1.5


def choose_val_cities(tiles: Mapping[str, int], wanted: Collection[str] | None = None) -> list[str]:
    """Choose the cities to hold out.

    Without `wanted`, cities are taken in an order that follows from their names alone until VAL_SHARE of the tiles is
    reached; those too large for it are passed over. If all are, the smallest one is held out.

    Args:
        tiles: city -> number of its tiles, above 0.
        wanted: the cities to hold out, if the user named them; may be empty, or all.

    Returns:
        Names, sorted.

    Raises:
        ValueError: if a wanted city has no tiles, or there is only one city and nobody said what to do with it.
    """
    if wanted is not None:
        if without := sorted(set(wanted) - set(tiles)):
            raise InputError(f"--val-cities names {without[0]!r}, of which no tile is left. Do its scenes and labels "
                             "show the same place, and is --min-labelled low enough? Otherwise leave it out.")
        return sorted(set(wanted))
    if len(tiles) < 2:
        raise InputError(f"only {', '.join(tiles) or 'no city'} has tiles, and validation needs a city that was not "
                         "trained on. Say what it is for: --val-cities with its name for validation, --val-cities "
                         "without a name for training.")
    total, held, chosen = sum(tiles.values()), 0, []
    for city in sorted(tiles, key=lambda name: hashlib.sha256(name.encode("utf-8")).digest()):
        if held >= VAL_SHARE * total:
            break
        if held + tiles[city] <= SLACK * VAL_SHARE * total:
            chosen.append(city)
            held += tiles[city]
    return sorted(chosen) or [min(sorted(tiles), key=tiles.__getitem__)]
