"""The split into training and validation, by whole cities."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from imrsf_d2.utils.errors import InputError

__all__ = ["VAL_SHARE", "choose_val_cities", "unseen_classes"]

#: Share of the tiles for validation, as in the paper: 783 of 6123.
VAL_SHARE = 0.13
# A city that would raise the share above this multiple of VAL_SHARE is passed over.
SLACK = 1.5


def choose_val_cities(tiles: Mapping[str, int], wanted: Collection[str] | None = None) -> list[str]:
    """Choose the cities to hold out for validation.

    Without `wanted`, cities are taken in an order that follows from their names alone until VAL_SHARE of the tiles is
    reached; cities that are too large are passed over. If all are, the smallest one is held out.

    Args:
        tiles: city -> number of its tiles, above 0.
        wanted: the cities to hold out, if the user named them; may be none or all.

    Returns:
        Names, sorted.

    Raises:
        ValueError: if a wanted city has no tiles, or there is only one city and `wanted` does not say what it is for.
    """
    if wanted is not None:
        if without := sorted(set(wanted) - set(tiles)):
            raise InputError(
                f"--val-cities names {without[0]!r}, of which no tile is left. Do its scenes and labels "
                "show the same place, and is --min-labeled low enough? If so, leave it out."
            )
        return sorted(set(wanted))
    if len(tiles) < 2:
        raise InputError(
            f"there are tiles of one city only ({', '.join(tiles)}), and validation needs a city that is not used for "
            "training. --val-cities with its name uses the city for validation, --val-cities without a name for training."
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
    """Classes that only held-out cities have: a model is evaluated on them and cannot have learned them.

    Args:
        pixels: city -> class index -> number of its pixels; other indices are ignored.
        held_out: those of the cities that are for validation.
        classes: names, in the order of their indices.

    Returns:
        A warning for each such class of each city; none if all cities are held out, because nothing is trained then.
    """
    trained = [counts for city, counts in pixels.items() if city not in held_out]
    seen = {label for counts in trained for label, count in counts.items() if count}
    return [
        f"{city}: its class {name!r} ({counts[label]} px) occurs in no training city, so no model can learn it, but it "
        "is part of the scores. Choose other cities with --val-cities."
        for city, counts in pixels.items()
        if city in held_out and trained
        for label, name in enumerate(classes)
        if counts.get(label) and label not in seen
    ]
