"""What a sweep says in a few sentences: which sensor is worth most, what is lost without it, what one sensor alone can do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from imrsf_d2.evaluation.scores import class_scores
from imrsf_d2.evaluation.summary import Summary
from imrsf_d2.modalities import subset_label

__all__ = ["needed_sensors", "takeaways"]

#: Smaller differences are not said, percent: in the tables they are next to nothing.
LEAST_DIFFERENCE = 1.0
#: At most this many classes are named.
NAMED = 4


def takeaways(rows: Sequence[Mapping], summary: Summary, tiles: Sequence[Mapping]) -> list[str]:
    """Sentences, the most important first; none that the scores do not carry.

    Args:
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
        tiles: those of the page, with their `scores` by subset.
    """
    if summary.shapley and not max(value.value for value in summary.shapley.values()) >= LEAST_DIFFERENCE:
        return ["No sensor is worth anything: the scores hardly depend on them."]
    sentences = [_worth(summary), _losses(summary), _alone(summary), _classes(rows, summary), _tiles(summary, tiles)]
    return [sentence for sentence in sentences if sentence]


def needed_sensors(scores: Mapping[str, float | None], names: Sequence[str]) -> dict[str, float]:
    """What is lost without each sensor, where that and the complete input were scored, percent.

    Args:
        scores: by subset, in percent.
        names: of all sensors.
    """
    losses = {}
    complete = scores.get(subset_label(names))
    for name in names:
        rest = scores.get(subset_label(other for other in names if other != name))
        if complete is not None and rest is not None:
            losses[name] = complete - rest
    return losses


def _worth(summary: Summary) -> str:
    if not summary.shapley or summary.ends is None:
        return ""
    best = max(summary.shapley, key=lambda name: summary.shapley[name].value)
    value, total = summary.shapley[best].value, summary.ends[1].value
    return f"{best.upper()} is worth most: {value / 100:.2f} of the {total / 100:.2f} {summary.metric} (Shapley value)."


def _losses(summary: Summary) -> str:
    known = {name: loss.value for name, loss in summary.losses.items() if math.isfinite(loss.value)}
    if len(known) < 2:
        return ""
    most, least = max(known, key=lambda name: known[name]), min(known, key=lambda name: known[name])
    if known[most] < LEAST_DIFFERENCE:
        return f"Any one sensor can be missing: the {summary.metric} stays within {max(known.values()) / 100:z.2f}."
    fall = f"Without {most.upper()} the {summary.metric} falls by {known[most] / 100:.2f}"
    if abs(known[least]) < LEAST_DIFFERENCE:
        return f"{fall}; without {least.upper()} it hardly changes."
    return f"{fall}; without {least.upper()} it {'falls' if known[least] > 0 else 'rises'} by {abs(known[least]) / 100:.2f}."


def _alone(summary: Summary) -> str:
    alone = {subset: r.value for subset, r in summary.retention.items() if len(subset) == 1 and math.isfinite(r.value)}
    if len(summary.names) < 2 or not alone:
        return ""
    best = max(alone, key=lambda subset: alone[subset])
    return f"{best[0].upper()} alone keeps {alone[best]:.0%} of the score of all sensors."


def _classes(rows: Sequence[Mapping], summary: Summary) -> str:
    metric, by_class = class_scores(rows)
    labels = [subset_label(row["modalities"]) for row in rows]
    needed: dict[str, list[str]] = {}
    for name, values in by_class.items():
        losses = needed_sensors({label: v for label, v in zip(labels, values) if not math.isnan(v)}, summary.names)
        if losses and max(losses.values()) >= LEAST_DIFFERENCE:
            needed.setdefault(max(losses, key=lambda sensor: losses[sensor]), []).append(name)
    if len(needed) < 2:  # of one sensor that all classes need, the other sentences say enough
        return ""
    parts = [
        f"{sensor.upper()} for {', '.join(names[:NAMED])}" + f" and {len(names) - NAMED} more" * (len(names) > NAMED)
        for sensor, names in needed.items()
    ]
    return f"By class, most {metric} is lost without {'; without '.join(parts)}."


def _tiles(summary: Summary, tiles: Sequence[Mapping]) -> str:
    counts: Counter[str] = Counter()
    for tile in tiles:
        losses = needed_sensors(tile["scores"], summary.names)
        if losses and max(losses.values()) >= LEAST_DIFFERENCE:
            counts[max(losses, key=lambda name: losses[name])] += 1
    if not counts:
        return ""
    parts = [f"{name.upper()} on {number}" for name, number in counts.most_common()]
    return f"Of the {len(tiles)} tiles below, the sensor that matters most is {', '.join(parts)}."
