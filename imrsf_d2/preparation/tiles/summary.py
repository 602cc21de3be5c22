"""What was made, or would be made, as tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tabulate import tabulate

from imrsf_d2.geo.projections import crs_text
from imrsf_d2.geo.rasters import size_text
from imrsf_d2.preparation.tiles.plan import TilePlan
from imrsf_d2.preparation.tiles.splits import TRAIN, VAL, Split
from imrsf_d2.preparation.tiles.tiles import TileRecord
from imrsf_d2.utils.errors import some_of

__all__ = ["tiles_summary", "unseen_classes"]

#: Scenes that are listed.
MOST_SCENES = 40


def tiles_summary(plan: TilePlan, records: Sequence[TileRecord], split: Split, remarks: Sequence[str], *, made: bool) -> str:
    """Markdown: scenes, sensors, classes, and what else there is to know.

    Args:
        plan: what was to be made.
        records: of each tile.
        split: what each tile is for.
        remarks: for people.
        made: whether the tiles were made; otherwise shares of sensors are by the outlines of their files.
    """
    kept = sum(not record.skipped for record in records)
    skipped = Counter(record.skipped for record in records if record.skipped)
    tables = [_scenes(plan, records, split), _sensors(plan, records, split, made), _classes(plan, records, split)]
    notes = [
        f"{kept} tiles of {size_text(plan.jobs[0].part.shape)} in {len(plan.scenes)} scene{'s' * (len(plan.scenes) != 1)}; the split deals out {split.unit}.",
        *(f"left out: {count} tiles, {reason}." for reason, count in skipped.items()),
    ]
    if beside := sum(name == "" and not record.skipped for name, record in zip(split.names, records, strict=True)):
        notes.append(f"in no split: {beside} tiles that show some of the ground of validation tiles.")
    if slivers := sum(record.slivers for record in records):
        notes.append(f"left out: {slivers} objects, of which a tile or its data hold fewer than four pixels.")
    if crowds := sum(annotation["iscrowd"] for record in records for annotation in record.annotations):
        notes.append(
            f"{crowds} objects of no class are crowds (iscrowd 1): scores ignore predictions there, training takes them for background."
        )
    if not made:
        notes.append(
            "sensors count where their files reach: tiles in which a file holds no data will lack the sensor, and the split, which "
            "deals out sensors too, may be another."
        )
    notes += [f"{remark}." for remark in remarks]
    return "\n\n".join([*filter(None, tables), "\n".join(f"- {note}" for note in notes)]) + "\n"


def unseen_classes(plan: TilePlan, records: Sequence[TileRecord], split: Split) -> Iterator[str]:
    """A word about each class that no tile has, or no tile for training."""
    counts = _by_split(records, split, lambda record: record.labels)
    total = sum(counts.values(), Counter())
    nowhere = [row.name for index, row in enumerate(plan.classes) if not total[index]]
    untrained = [row.name for index, row in enumerate(plan.classes) if total[index] and not counts[TRAIN][index]]
    if nowhere:
        yield f"no tile has the class{_es(nowhere)} {some_of(nowhere)}, which cannot be learned and which scores leave out"
    if untrained and TRAIN in split.names:
        yield (
            f"no training tile has the class{_es(untrained)} {some_of(untrained)}, so they cannot be learned, but they are part of "
            "the scores"
        )


def _es(names: Sequence[str]) -> str:
    return "es" * (len(names) > 1)


def _scenes(plan: TilePlan, records: Sequence[TileRecord], split: Split) -> str:
    tiles = [Counter[str]() for _ in plan.scenes]
    for job, record, name in zip(plan.jobs, records, split.names, strict=True):
        tiles[job.scene][name] += not record.skipped
    rows = []
    for scene, of in zip(plan.scenes[:MOST_SCENES], tiles):
        pixel = f"{abs(scene.grid.transform.determinant) ** 0.5:g}"
        files = ", ".join(f"{name}: {len(files)}" for name, files in scene.sensors.items())
        rows.append([scene.name, crs_text(scene.grid.crs), size_text(scene.grid.shape), pixel, files, of[TRAIN], of[VAL]])
    if more := tiles[MOST_SCENES:]:
        total = sum(more, Counter())
        rows.append([f"{len(more)} more", "", "", "", "", total[TRAIN], total[VAL]])
    return _table(rows, ["scene", "system", "size", "pixel", "files", "train", "val"])


def _sensors(plan: TilePlan, records: Sequence[TileRecord], split: Split, made: bool) -> str:
    rows = []
    for name, source in plan.sources.items():
        modality = source.tile_modality
        having = _by_split(records, split, lambda record, name=name: {name: 1} if name in record.sensors else {})
        copied, resampled = (sum(record.sensors[name][i] for record in records if name in record.sensors) for i in (0, 1))
        tiles = Counter(split.names)
        row = [name, modality.channels, "dB, from power" if modality.transform == "db" else modality.unit or ""]
        for of in (TRAIN, VAL):
            row.append(f"{having[of][name] / tiles[of]:.1%}" if tiles[of] else "")
        if made:
            row.append(f"{copied / (copied + resampled):.1%}" if copied + resampled else "")
        rows.append(row)
    return _table(rows, ["sensor", "bands", "unit", "in train", "in val", *(["pixels copied"] if made else [])])


def _classes(plan: TilePlan, records: Sequence[TileRecord], split: Split) -> str:
    if not plan.classes:
        return ""
    counts = _by_split(records, split, lambda record: record.labels)
    totals = {of: sum(found.values()) for of, found in counts.items()}
    objects = any(record.annotations for record in records)
    rows = []
    for index, label in enumerate(plan.classes):
        row: list[object] = [index, label.name]
        for of in (TRAIN, VAL):
            count = counts[of][index]
            share = f" ({count / totals[of]:.1%})" if totals[of] else ""
            row.append(f"{count}{share}")
        rows.append(row)
    if unlabeled := _by_split(records, split, lambda record: {0: record.unlabeled}):
        if not objects:
            rows.append(["", "not labeled", *(unlabeled[of][0] for of in (TRAIN, VAL))])
    what = "objects" if objects else "pixels"
    return _table(rows, ["index", "class", f"{what} in train", f"{what} in val"])


def _by_split(records: Sequence[TileRecord], split: Split, counts) -> dict[str, Counter]:
    """Split -> what its tiles have together."""
    found = {TRAIN: Counter[object](), VAL: Counter[object]()}
    for record, name in zip(records, split.names, strict=True):
        if name:
            found[name].update(counts(record))
    return found


def _table(rows: Sequence[Sequence], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)
