"""A finished sweep as a page to play with: switch sensors on and off, and see scores and predictions change."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from imrsf_d2.data.dataset_file import short_name
from imrsf_d2.evaluation.bootstrap import LEAST_IMAGES, LEVEL
from imrsf_d2.evaluation.per_image import Images
from imrsf_d2.evaluation.report_sections import lacks_tiles
from imrsf_d2.evaluation.scores import MEANINGS, SHOWN, class_scores, main_score
from imrsf_d2.evaluation.summary import Estimate, Summary
from imrsf_d2.evaluation.sweep_report import same_scores
from imrsf_d2.modalities import subset_label, subset_title
from imrsf_d2.utils.errors import counted
from imrsf_d2.visualization.pages.rendering import render_page
from imrsf_d2.visualization.pages.takeaways import takeaways

__all__ = ["sweep_page"]

Subset = tuple[str, ...]
#: With more sensors, only the subsets that were evaluated have a bar.
MOST_SENSORS_LISTED = 5
#: Told apart with any color vision (Okabe and Ito); after the last, the first again.
SENSOR_COLORS = ("#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b5a800")


def sweep_page(
    rows: Sequence[Mapping],
    summary: Summary,
    images: Mapping[Subset, Images],
    tiles: Mapping,
    dataset: str,
    command: str,
    origin: Sequence[str],
) -> str:
    """The page as HTML.

    Args:
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
        images: what each image contributes to each row's main score.
        tiles: as returned by `encode_tiles`.
        dataset: its name.
        command: evaluates the subsets that were not.
        origin: lines on how the results were produced.
    """
    names = summary.names
    shown = _tiles(tiles, images)
    subsets = {subset_label(subset): _subset(row, subset, summary) for row in rows for subset in [tuple(row["modalities"])]}
    metric, by_class = class_scores(rows)
    data = {
        "metric": summary.metric,
        "images": summary.num_images,
        "level": f"{LEVEL:.0%}",
        "noInterval": _no_interval(summary),
        "sensors": list(names),
        "subsets": subsets,
        "complete": subset_label(names),
        "blind": _number(main_score(summary.blind_results)[2]),
        "blindWords": summary.blind,
        "classMetric": metric,
        "classes": list(by_class),
        "kind": tiles["kind"],
        "names": tiles["classes"],
        "palette": tiles["colors"],
        "tiles": shown,
    }
    return render_page(
        "report.html",
        data,
        title="What does each sensor buy?",
        dataset=short_name(dataset),
        summary=summary,
        sensors=[
            {
                "name": name,
                "title": name.upper(),
                "color": color,
                "on": _readable_on(color),
                "having": summary.having[name],
                "empty": summary.empty.get(name, 0),
            }
            for name, color in zip(names, itertools.cycle(SENSOR_COLORS))
        ],
        absent=[name.upper() for name in summary.absent],
        takeaways=takeaways(rows, summary, shown),
        warning=same_scores(rows, summary).strip("*"),
        bars=_bars(subsets, summary),
        worth=_worth(summary),
        table=_table(rows, summary),
        meaning=MEANINGS.get(main_score(rows[0]["results"])[0], "").replace("`", ""),
        level=f"{LEVEL:.0%}",
        intervals=bool(summary.resamples) and summary.num_images >= LEAST_IMAGES,
        partial=lacks_tiles(summary),
        evaluated=len(rows),
        existing=2 ** len(names) - 1,
        command=command,
        tiles={key: tiles[key] for key in ("kind", "evenly", "of", "too_large")},
        tile_names=[tile["name"] for tile in shown],
        listened=any(tile["listened"] for tile in shown),
        origin=origin,
    )


def _no_interval(summary: Summary) -> str:
    """Why scores have no interval; empty if they have."""
    if summary.num_images < LEAST_IMAGES:
        number = counted(summary.num_images, "tile")
        return f"no interval: {number} {'is' if summary.num_images == 1 else 'are'} too few"
    return "" if summary.resamples else "no interval (--resamples 0)"


def _readable_on(color: str) -> str:
    """Black or white, whichever stands out more (WCAG 2)."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    ]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"value": _number(estimate.value), "low": _number(estimate.low), "high": _number(estimate.high)}


def _subset(row: Mapping, subset: Subset, summary: Summary) -> dict:
    """What the page says of one evaluated subset; scores in percent."""
    metric, by_class = class_scores([row])
    return {
        "score": _estimate(summary.scores[subset]),
        "retention": _estimate(summary.retention[subset]) if subset in summary.retention else None,
        "images": summary.covered.images[subset],
        "covered": _estimate(summary.covered.scores[subset]),
        "classes": {name: _number(values[0]) for name, values in by_class.items()},
    }


def _tiles(tiles: Mapping, images: Mapping[Subset, Images]) -> list[dict]:
    """The tiles with their own scores by subset: the metric of the sweep, on that tile alone."""
    places = {image_id: place for place, image_id in enumerate(next(iter(images.values())).image_ids)}
    shown = [tile for tile in tiles["tiles"] if tile["id"] in places]
    alone = np.zeros((len(shown), len(places)), dtype=np.int64)
    alone[range(len(shown)), [places[tile["id"]] for tile in shown]] = 1
    scores = {subset_label(subset): own.scores(alone) for subset, own in images.items()} if shown else {}
    return [
        {**tile, "scores": {label: _number(values[i]) for label, values in scores.items()}} for i, tile in enumerate(shown)
    ]


def _bars(subsets: Mapping[str, Mapping], summary: Summary) -> list[dict]:
    """A bar per subset, highest score first; then those that were not evaluated, if there are few."""
    names = summary.names
    bars = [{"subset": subset, "label": subset_label(subset), **subsets[subset_label(subset)]} for subset in summary.scores]
    bars.sort(key=lambda bar: -math.inf if bar["score"]["value"] is None else bar["score"]["value"], reverse=True)
    if len(names) <= MOST_SENSORS_LISTED:
        every = (subset for size in range(len(names), 0, -1) for subset in itertools.combinations(names, size))
        bars += [
            {"subset": subset, "label": subset_label(subset), "score": None}
            for subset in every
            if subset not in summary.scores
        ]
    ends = [
        value for bar in bars if bar["score"] for value in (bar["score"]["value"], bar["score"]["high"]) if value is not None
    ]
    longest = max([1.0, *ends])
    return [
        {**bar, "title": subset_title(bar["subset"]), "marks": _marks(bar["score"], 0.0, longest) if bar["score"] else None}
        for bar in bars
    ]


def _marks(estimate: Mapping[str, float | None], low: float, high: float) -> dict[str, float | None]:
    """Value and interval as places on an axis from 0 to 100."""
    return {
        key: None if value is None else round(100 * (value - low) / (high - low), 2) for key, value in estimate.items()
    } | {"zero": round(-100 * low / (high - low), 2)}


def _worth(summary: Summary) -> list[dict]:
    """Shapley value and loss of each sensor, the most valuable first."""
    known = summary.shapley or summary.losses
    names = sorted(known, key=lambda name: -np.nan_to_num(known[name].value))
    estimates = [*summary.shapley.values(), *summary.losses.values()]
    ends = [value for e in estimates for value in (e.value, e.low, e.high) if math.isfinite(value)]
    low, high = min([0.0, *ends]), max([1.0, *ends])
    rows = []
    for name in names:
        kinds = {"shapley": summary.shapley.get(name), "loss": summary.losses.get(name)}
        row: dict = {"name": name, "title": name.upper()}
        for kind, estimate in kinds.items():
            row[kind] = (
                None if estimate is None else {**_estimate(estimate), "marks": _marks(_estimate(estimate), low, high)}
            )
        rows.append(row)
    return rows


def _table(rows: Sequence[Mapping], summary: Summary) -> dict:
    """All scores that the tables of reports show."""
    columns = [
        (task, metric)
        for task, (_, metrics) in SHOWN.items()
        for metric in metrics
        if any(metric in row["results"].get(task, {}) for row in rows)
    ]
    every = [*rows, {"modalities": [], "results": summary.blind_results}]
    return {
        "columns": [f"{SHOWN[task][0]} {metric}".strip() for task, metric in columns],
        "rows": [
            {
                "subset": row["modalities"],
                "scores": [_number(row["results"].get(task, {}).get(metric, math.nan)) for task, metric in columns],
            }
            for row in every
        ],
    }
