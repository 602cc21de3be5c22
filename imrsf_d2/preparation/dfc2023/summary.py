"""A summary of what became of tiles and footprints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from imrsf_d2.data.datasets.dfc2023 import SPLITS

__all__ = ["dfc2023_summary"]

COUNTS = ("tiles", "crops", "empty", "footprints", "parts", "cut", "slivers", "lost")


def dfc2023_summary(
    cities: Sequence[str], records: Sequence[Mapping], *, tile_size: int | None, min_pixels: int, unlabeled: int
) -> str:
    """A Markdown table, one row per city and split.

    Args:
        cities: of the tiles.
        records: of `Cutter.cut`, one for each tile.
        tile_size, min_pixels: what the crops were made with.
        unlabeled: tiles with rasters but without labels, which were left out.
    """
    totals: dict[str, Counter] = {}
    for city, record in zip(cities, records, strict=True):
        counts = {name: record[name] for name in ("empty", "footprints", "cut", "slivers", "lost")}
        counts["tiles"], counts["crops"] = 1, len(record["crops"])
        counts["parts"] = sum(len(crop["annotations"]) for crop in record["crops"])
        totals.setdefault(city, Counter()).update(counts)
    rows = []
    for split in ("train", "val"):
        there = [city for city in SPLITS[split] if city in totals]
        rows += [(split, city, totals[city]) for city in there]
        rows.append((split, "all", sum((totals[city] for city in there), Counter())))
    table = tabulate(
        [[split, city, *(counts[name] for name in COUNTS)] for split, city, counts in rows],
        headers=["split", "city", *COUNTS],
        tablefmt="pipe",
    )
    size = f"crops of {tile_size} px" if tile_size else "whole tiles"
    return (
        f"DFC2023 track 2 in {size}.\n\n{table}\n\n"
        "- empty: crops left out because no sensor has a valid pixel there; crops without footprints are kept.\n"
        "- footprints: in the tiles; parts: in the crops, which training and evaluation use.\n"
        "- cut: footprints divided by the border of a crop.\n"
        f"- slivers: parts of fewer than {min_pixels} px, dropped; lost: footprints of which no part is left.\n"
        f"- Tiles left out because they have no labels: {unlabeled}.\n"
    )
