"""What a sweep says in a few sentences: which sensor is worth most, what is lost without it, what one sensor alone can do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from imrsf_d2.evaluation.bootstrap import LEAST_IMAGES, LEVEL
from imrsf_d2.evaluation.scores import class_scores
from imrsf_d2.evaluation.summary import Estimate, Summary
from imrsf_d2.modalities import subset_label
from imrsf_d2.utils.errors import counted

__all__ = ["needed_sensors", "takeaways"]

#: Smaller differences are not said, percent: in the tables they are next to nothing.
LEAST_DIFFERENCE = 1.0
#: At most this many classes or sensors are named.
NAMED = 4


def takeaways(rows: Sequence[Mapping], summary: Summary, tiles: Sequence[Mapping]) -> list[str]:
    """Sentences, the most important first; none that the scores do not carry. What another choice of tiles may turn around, by
    its interval, is said to be unclear; without intervals, the last sentence says so.

    Args:
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
        tiles: those of the page, with their `scores` by subset.
    """
    worths = [value.value for value in summary.shapley.values()]
    if worths and math.isfinite(sum(worths)) and max(worths) < LEAST_DIFFERENCE:
        sentences = [_no_worth(summary)]
    else:
        sentences = [_worth(summary), _losses(summary), _alone(summary), _classes(rows, summary), _tiles(summary, tiles)]
    said = [sentence for sentence in sentences if sentence]
    return [sentence for sentence in (*said, _without_intervals(summary)) if sentence] if said else []


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


def _within(estimate: Estimate, scale: float = 100, form: str = "z.2f", what: str = "") -> str:
    """ " (95% interval 0.10 to 0.20)"; empty without an interval, but for `what` it is."""
    parts = [what] if what else []
    if _has_interval(estimate):
        parts.append(f"{LEVEL:.0%} interval {_number(estimate.low, scale, form)} to {_number(estimate.high, scale, form)}")
    return f" ({'; '.join(parts)})" if parts else ""


def _number(value: float, scale: float = 100, form: str = "z.2f") -> str:
    return f"{value / scale:{form}}".replace("-", "−")


def _has_interval(estimate: Estimate) -> bool:
    return math.isfinite(estimate.low) and math.isfinite(estimate.high)


def _unclear(lead: Estimate) -> bool:
    """Whether another choice of tiles may turn a lead around."""
    return _has_interval(lead) and lead.low <= 0


def _without_intervals(summary: Summary) -> str:
    """Empty if there are intervals."""
    if (number := _compared(summary)) < LEAST_IMAGES:
        return f"{counted(number, 'tile')} {'is' if number == 1 else 'are'} too few for intervals: of other tiles this may not hold."
    if not summary.resamples:
        return "There are no intervals (--resamples 0): it is not known how far this holds of other tiles."
    return ""


def _compared(summary: Summary) -> int:
    """The number of tiles that the sentences are about."""
    return summary.complete_images if summary.losses else summary.num_images


def _some(parts: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(parts[:NAMED]) + f" and {len(parts) - NAMED} more" * (len(parts) > NAMED)


def _no_worth(summary: Summary) -> str:
    best = max(summary.shapley, key=lambda name: summary.shapley[name].value)
    worth = summary.shapley[best]
    if _has_interval(worth) and worth.high >= LEAST_DIFFERENCE:
        highest = f"the highest Shapley value is {_number(worth.value)}, of {best.upper()}{_within(worth)}"
        return f"It is unclear whether any sensor is worth anything: {highest}."
    return "No sensor is worth anything: the scores hardly depend on them."


def _worth(summary: Summary) -> str:
    if len(summary.shapley) < 2 or summary.ends is None or not math.isfinite(summary.ends[1].value):
        return ""
    order = sorted(summary.shapley, key=lambda name: summary.shapley[name].value, reverse=True)
    best, total = order[0], f"of the {_number(summary.ends[1].value)} {summary.metric}"
    worth = summary.shapley[best]
    close = [name for name in order[1:] if _unclear(summary.leads[name])]
    if close:
        worths = {name: summary.shapley[name] for name in (best, *close)}
        values = [f"{name.upper()} {_number(own.value)}{_within(own)}" for name, own in worths.items()]
        return f"Which sensor is worth most is unclear: {_some(values)} {total} (Shapley values)."
    share = f"{_number(worth.value)} {total}{_within(worth, what='Shapley value')}"
    if _has_interval(worth) and worth.low <= 0:
        return f"It is unclear whether any sensor is worth anything: {best.upper()} has most, {share}."
    number = _compared(summary)
    scope = f"On {'this tile' if number == 1 else f'these {number} tiles'}, " if number < LEAST_IMAGES else ""
    return f"{scope}{best.upper()} is worth most: {share}."


def _losses(summary: Summary) -> str:
    known = {name: loss for name, loss in summary.losses.items() if math.isfinite(loss.value)}
    if len(known) < 2:
        return ""
    most, least = (end(known, key=lambda name: known[name].value) for end in (max, min))
    ends = [end for loss in known.values() for end in ((loss.low, loss.high) if _has_interval(loss) else (loss.value,))]
    if max(map(abs, ends)) < LEAST_DIFFERENCE:
        largest = max(known.values(), key=lambda loss: abs(loss.value))
        within = f"{_number(abs(largest.value))}{_within(largest)}"
        return f"Any one sensor can be missing: the {summary.metric} stays within {within}."
    return f"{_loss(most, known[most], summary.metric)} {_loss(least, known[least], summary.metric)}"


def _loss(name: str, loss: Estimate, metric: str) -> str:
    """What happens without one sensor."""
    low, high = (loss.low, loss.high) if _has_interval(loss) else (loss.value, loss.value)
    size, within = _number(abs(loss.value)), _within(loss)
    if max(abs(low), abs(high)) < LEAST_DIFFERENCE:
        return f"Without {name.upper()} the {metric} hardly changes{within}."
    if low > 0:
        return f"Without {name.upper()} the {metric} falls by {size}{within}."
    if high < 0:
        risen = Estimate(-loss.value, -loss.high, -loss.low)
        return f"Without {name.upper()} the {metric} rises by {size}{_within(risen)}."
    return f"Whether the {metric} falls without {name.upper()} is unclear: by {_number(loss.value)}{within}."


def _alone(summary: Summary) -> str:
    alone = {subset[0]: r for subset, r in summary.retention.items() if len(subset) == 1 and math.isfinite(r.value)}
    if len(summary.names) < 2 or not alone:
        return ""
    order = sorted(alone, key=lambda name: alone[name].value, reverse=True)
    best = alone[order[0]]
    close = [name for name in order[1:] if _unclear(summary.alone_leads[name])]
    if close:
        parts = [f"{name.upper()} {alone[name].value:.0%}{_within(alone[name], 1, 'z.0%')}" for name in (order[0], *close)]
        return f"Which sensor keeps most alone is unclear: {_some(parts)} of the score of all sensors."
    return f"{order[0].upper()} alone keeps {best.value:.0%} of the score of all sensors{_within(best, 1, 'z.0%')}."


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
    parts = [f"{sensor.upper()} for {_some(names)}" for sensor, names in needed.items()]
    return f"By class, for which there are no intervals, most {metric} is lost without {'; without '.join(parts)}."


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
