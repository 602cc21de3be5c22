"""A summary of what became of each city's tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from imrsf_d2.data.labels import IGNORE_LABEL
from imrsf_d2.data.quadruplet_layout import SENSORS
from imrsf_d2.preparation.quadruplets.exports import CityExport
from imrsf_d2.preparation.quadruplets.plan import CityPlan
from imrsf_d2.preparation.quadruplets.tiles import TileRecord

__all__ = ["city_warnings", "count_origins", "quadruplets_summary"]

#: Files listed in a warning.
MAX_NAMED = 5


def city_warnings(city: CityExport, plan: CityPlan, records: Collection[TileRecord]) -> list[str]:
    """What the user probably did not intend: files that were not read, sensors without data, resampled Sentinel-2.

    Args:
        city, plan: the city's files, and the tiles that they were to become.
        records: what became of the tiles.
    """
    warnings = []
    if city.ignored:
        more = f" and {len(city.ignored) - MAX_NAMED} more" if len(city.ignored) > MAX_NAMED else ""
        warnings.append(
            f"{city.name}: not read: {', '.join(city.ignored[:MAX_NAMED])}{more}; expected GeoTIFFs in the "
            f"city's folder or in folders named {', '.join(SENSORS)}."
        )
    made = [record for record in records if not record.skipped]
    for sensor, paths in city.scenes.items():
        if any(sensor in record.sensors for record in made):
            continue
        more = ", ..." if len(paths) > 1 else ""
        found = f"{city.name}: no tile has data of {sensor}, although there is {Path(paths[0]).name}{more}: "
        if sensor in plan.elsewhere:
            warnings.append(f"{found}{plan.elsewhere[sensor]}. Are the file and its coordinate system the right ones?")
        elif made:
            warnings.append(f"{found}none of its pixels is valid where the tiles are. Does the file hold any data?")
    origins = count_origins(made).get("s2")
    if origins and origins["resampled"]:
        warnings.append(
            f"{city.name}: Sentinel-2 is resampled in {origins['resampled']} of {len(made)} tiles "
            f"({origins['resampled %']:g} % of its pixels), which blurs it: {plan.resampled}."
        )
    return warnings


def count_origins(records: Collection[TileRecord]) -> dict[str, dict[str, float]]:
    """How many values of each sensor are those of the scenes, unchanged.

    Returns:
        sensor -> {"copied": number of tiles with only copied pixels, "resampled": number of the others, "resampled %": share
        of the valid pixels of all tiles that are resampled}; sensors without data are absent.
    """
    counts = {}
    for sensor in SENSORS:
        pixels = [record.sensors[sensor] for record in records if sensor in record.sensors]
        if pixels:
            own, other = (sum(column) for column in zip(*pixels))
            changed = sum(of_tile[1] > 0 for of_tile in pixels)
            counts[sensor] = {
                "copied": len(pixels) - changed,
                "resampled": changed,
                "resampled %": float(f"{100 * other / (own + other):.3g}"),
            }
    return counts


def quadruplets_summary(
    plans: Sequence[CityPlan],
    made: Mapping[str, Mapping[str, TileRecord]],
    splits: Mapping[str, str],
    classes: Sequence[str],
    warnings: Sequence[str],
) -> str:
    """A Markdown table, one row per city: tiles, tiles with each sensor, share of each class; and the warnings.

    Args:
        plans: of the cities.
        made: city -> name of a planned tile -> what became of it.
        splits: city -> split.
        classes: names, in the order of the labels.
        warnings: of `city_warnings`.
    """
    rows = []
    for plan in plans:
        records = [record for record in made[plan.city].values() if not record.skipped]
        pixels = sum((Counter(record.pixels) for record in records), Counter())
        labeled = sum(count for label, count in pixels.items() if label != IGNORE_LABEL)
        shares = [f"{100 * pixels[label] / max(labeled, 1):.1f}" for label in range(len(classes))]
        rows.append(
            [
                plan.city,
                splits[plan.city] if records else "none",
                len(records),
                len(plan.jobs) - len(records) + plan.bare,
                *(sum(sensor in record.sensors for record in records) for sensor in SENSORS),
                f"{100 * pixels[IGNORE_LABEL] / max(pixels.total(), 1):.1f}",
                *shares,
            ]
        )
    table = tabulate(
        rows,
        headers=["city", "split", "tiles", "skipped", *SENSORS, "unlabeled %", *(f"{name} %" for name in classes)],
        tablefmt="pipe",
        disable_numparse=True,
    )
    return (
        f"Quadruplets.\n\n{table}\n\n"
        f"- skipped: tiles with too few labels, or without data of any sensor; {', '.join(SENSORS)}: tiles with "
        "data of that sensor.\n"
        "- unlabeled: share of the pixels of all tiles; classes: share of the labeled ones.\n"
        f"- values: {_describe(count_origins([r for of_city in made.values() for r in of_city.values()]))}\n"
        + "".join(f"- WARNING {warning}\n" for warning in warnings)
    )


def _describe(origins: Mapping[str, Mapping[str, float]]) -> str:
    return (
        "; ".join(
            f"{sensor} copied from the scenes in {n['copied']} tiles, resampled in {n['resampled']} "
            f"({n['resampled %']:g} % of its pixels)"
            for sensor, n in origins.items()
        )
        + "."
    )
