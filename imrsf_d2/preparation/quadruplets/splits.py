"""Whole cities for training and for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from imrsf_d2.utils.errors import InputError

__all__ = ["VAL_SHARE", "choose_val_cities", "unseen_classes"]

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
            raise InputError(
                f"--val-cities names {without[0]!r}, of which no tile is left. Do its scenes and labels "
                "show the same place, and is --min-labeled low enough? Otherwise leave it out."
            )
        return sorted(set(wanted))
    if len(tiles) < 2:
        raise InputError(
            f"only {', '.join(tiles) or 'no city'} has tiles, and validation needs a city that was not "
            "trained on. Say what it is for: --val-cities with its name for validation, --val-cities "
            "without a name for training."
        )
    total, held, chosen = sum(tiles.values()), 0, []
    for city in sorted(tiles, key=lambda name: hashlib.sha256(name.encode("utf-8")).digest()):
        if held >= VAL_SHARE * total:
            break
        if held + tiles[city] <= SLACK * VAL_SHARE * total:
            chosen.append(city)
            held += tiles[city]
    return sorted(chosen) or [min(sorted(tiles), key=tiles.__getitem__)]


def unseen_classes(pixels: Mapping[str, Mapping[int, int]], held_out: Collection[str], classes: Sequence[str]) -> list[str]:
    """What a model is scored on and cannot have learned: classes that only held-out cities have.

    Args:
        pixels: city -> class index -> its pixels; other indices are no class.
        held_out: of these cities.
        classes: names, in the order of their indices.

    Returns:
        A warning for each such class of each city; none if no city is left to train on, as nobody means to then.
    """
    trained = [counts for city, counts in pixels.items() if city not in held_out]
    seen = {label for counts in trained for label, count in counts.items() if count}
    return [
        f"{city}: its class {name!r} ({counts[label]} px) occurs in no training city, so that no model can learn what "
        "it is scored on here. Name other cities with --val-cities."
        for city, counts in pixels.items()
        if city in held_out and trained
        for label, name in enumerate(classes)
        if counts.get(label) and label not in seen
    ]
