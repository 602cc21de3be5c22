"""The split into training and validation: whole blocks of tiles, or whole scenes, alike in what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import WGS84, move_points
from imrsf_d2.geo.wrapping import move_near
from imrsf_d2.utils.errors import InputError, percent

__all__ = ["Split", "SplitOptions", "TilePlace", "check_split", "split_tiles"]

TRAIN, VAL = "train", "val"
#: Scenes are assigned as a whole by default if the share of training tiles can be this near to the one asked for.
NEAR_SHARE = 0.1
#: Fewest parts that leave a choice of which to hold out; and sides of blocks to try, in tiles, the largest first.
FEWEST_PARTS, SIDES = 10, (8, 4, 2, 1)
#: The same where tiles overlap, so that the larger a block is, the fewer tiles around it are lost.
SIDES_OF_OVERLAPPING = (32, 16, *SIDES)
#: A split is remarked on if the share of training tiles is further from the one asked for, or more tiles are in no split.
FAR_SHARE = 0.1
#: Starting points of the search for a good split.
STARTS = 16
#: What a quantity that training lacks entirely counts in the search: more than all shares together.
LACKING = 100.0


@dataclass(frozen=True)
class SplitOptions:
    """How tiles are assigned to splits.

    Args:
        share: of the tiles for training, 0 to 1; the others are for validation.
        by: "block" or "scene"; None for scenes, if there are FEWEST_PARTS or more and their sizes allow the share.
        block: side of a block, in tiles; None for the largest of SIDES that leaves a choice, or, where tiles overlap, for that of
            SIDES_OF_OVERLAPPING with which least is lost.
        seed: of the search.

    Raises:
        InputError: if a value is out of range.
    """

    share: float = 0.8
    by: str | None = None
    block: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"--split is {self.share:g}, expected the share of training tiles, from 0 to 1.")
        if self.block is not None and self.block < 1:
            raise InputError(f"--block is {self.block}, expected 1 tile or more.")
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}, expected 0 or more.")
        if self.by == "scene" and self.block is not None:
            raise InputError("--block is given with --split-by scene, which has no blocks; leave one of them out.")


@dataclass(frozen=True)
class TilePlace:
    """Where a tile is.

    Args:
        scene: its index.
        row, column: of the tile in the scene.
        grid: its pixels.
    """

    scene: int
    row: int
    column: int
    grid: Grid


@dataclass(frozen=True)
class Split:
    """Which tiles are for what.

    Args:
        names: of each tile, "train" or "val"; "" for those that show ground of validation tiles and are left out.
        unit: what was assigned as a whole, in words.
        remark: for people, if the split is far from what was asked for.
    """

    names: tuple[str, ...]
    unit: str
    remark: str = ""


def split_tiles(places: Sequence[TilePlace], amounts: np.ndarray, options: SplitOptions) -> Split:
    """Deal out tiles.

    Args:
        places: of the tiles.
        amounts: [N, Q], what each tile holds, such as pixels of each class; each is shared out like the tiles themselves
            as far as whole blocks allow, and training gets some of everything if it can.

    Raises:
        InputError: if there is a single block or scene to deal out.
    """
    if options.share in (0, 1):
        return Split((TRAIN if options.share else VAL,) * len(places), "all tiles")
    check_split(places, options)
    pairs = _sharing(places)
    amounts = np.column_stack([np.ones(len(places)), amounts])
    parts, unit = _parts(places, options)
    names = _deal(parts, amounts, pairs, options)
    if options.by != "scene" and options.block is None and (names == "").any():
        least = _loss(names, amounts, options.share)
        for side in SIDES_OF_OVERLAPPING:
            parts, its_unit = _blocks(places, side)
            if parts.max() == 0:
                continue
            found = _deal(parts, amounts, pairs, options)
            if (loss := _loss(found, amounts, options.share)) < least:
                names, unit, least = found, its_unit, loss
    return Split(tuple(names.tolist()), unit, _remark(names, options))


def check_split(places: Sequence[TilePlace], options: SplitOptions) -> None:
    """See that there is something to deal out.

    Args:
        places: of all tiles that may be there.

    Raises:
        InputError: if there is a single block or scene.
    """
    if options.share in (0, 1) or _parts(places, options)[0].max() > 0:
        return
    smaller = "a smaller --block, " if (options.block or 1) > 1 else ""
    raise InputError(
        f"there is a single {'scene' if options.by == 'scene' else 'block'} of tiles, and a split takes two: pass "
        f"{smaller}smaller tiles (--tile), --split 1 (all for training), or more scenes."
    )


def _deal(parts: np.ndarray, amounts: np.ndarray, pairs: np.ndarray, options: SplitOptions) -> np.ndarray:
    """The split of each tile.

    Args:
        parts: [N], which of them each tile belongs to.
        amounts: [N, Q], the first of which counts the tiles.
        pairs: of `_sharing`.
    """
    of_parts = np.zeros((int(parts.max()) + 1, amounts.shape[1]))
    np.add.at(of_parts, parts, amounts)
    found = []
    for chosen in _choices(of_parts, 1 - options.share, options.seed):
        held_out = chosen[parts]
        names = np.where(held_out, VAL, TRAIN).astype(object)
        names[pairs[0, held_out[pairs[1]] & ~held_out[pairs[0]]]] = ""
        found.append(names)
        if not (names == "").any():
            break  # nothing is lost, and the first is the best otherwise
    return min(found, key=lambda names: _loss(names, amounts, options.share))


def _loss(names: np.ndarray, amounts: np.ndarray, share: float) -> float:
    """How much of the tiles is in no split, and how far the others are from the share that was asked for."""
    held_out, used = amounts[names == VAL].sum(axis=0), amounts[names != ""].sum(axis=0)
    there = amounts.sum(axis=0) > 0
    # What is in no split at all is lacking in training, too.
    held_out = np.divide(held_out, used, out=np.ones_like(used), where=used > 0)[there]
    off = np.abs(held_out - (1 - share))
    lacking = LACKING * np.count_nonzero(held_out > 1 - 1e-9)
    return (names == "").mean() + off[0] + (off[1:].mean() if len(off) > 1 else 0.0) + lacking


def _remark(names: np.ndarray, options: SplitOptions) -> str:
    share = options.share
    train, val, lost = (int(np.count_nonzero(names == name)) for name in (TRAIN, VAL, ""))
    if lost <= FAR_SHARE * len(names) and abs(train / (train + val) - share) <= FAR_SHARE:
        return ""
    ways = "smaller blocks or tiles come nearer"
    if lost:
        ways = "a smaller --overlap loses fewer" if options.block is None else "without --block fewer may be lost"
    return (
        f"of {len(names)} tiles {train} are for training, {val} for validation and {lost} for neither: {percent(train / len(names))} "
        f"are for training, {percent(share)} were asked for (--split); {ways}"
    )


def _parts(places: Sequence[TilePlace], options: SplitOptions) -> tuple[np.ndarray, str]:
    """The block or scene of each tile, and what it is in words."""
    scenes = _numbered([(place.scene,) for place in places])
    count = int(scenes.max()) + 1
    by_scene = options.by == "scene" or (
        options.by is None
        and options.block is None
        and count >= FEWEST_PARTS
        and _nearest_share(np.bincount(scenes), options.share) <= NEAR_SHARE
    )
    if by_scene:
        return scenes, f"{count} whole scene{'s' * (count != 1)}"
    for side in SIDES if options.block is None else (options.block,):
        blocks, unit = _blocks(places, side)
        if blocks.max() + 1 >= FEWEST_PARTS:
            break
    return blocks, unit


def _blocks(places: Sequence[TilePlace], side: int) -> tuple[np.ndarray, str]:
    """The block of each tile, and what they are in words."""
    blocks = _numbered([(place.scene, place.row // side, place.column // side) for place in places])
    return blocks, f"{int(blocks.max()) + 1} blocks of {side} x {side} tile{'s' * (side > 1)}"


def _numbered(keys: Sequence[tuple[int, ...]]) -> np.ndarray:
    order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([order[key] for key in keys])


def _nearest_share(tiles: np.ndarray, share: float) -> float:
    """How near to a share the tiles of whole scenes come: subset sums."""
    total = int(tiles.sum())
    reached = np.zeros(total + 1, dtype=bool)
    reached[0] = True
    for number in tiles.tolist():
        reached[number:] |= reached[:-number].copy()
    reached[[0, -1]] = False  # each of both gets a scene
    return float(np.abs(np.flatnonzero(reached) / total - share).min()) if reached.any() else 1.0


def _choices(amounts: np.ndarray, share: float, seed: int) -> list[np.ndarray]:
    """Which parts to hold out so that of every amount about the same share is held out: several choices, the best first.

    From several random starts, the part whose change helps most is moved to the other side, until none helps.

    Args:
        amounts: [P, Q].
        share: to be held out.

    Returns:
        STARTS times [P] bool, True for some and not for all.
    """
    total = amounts.sum(axis=0)
    amounts = amounts[:, total > 0] / total[total > 0]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(STARTS):
        out = rng.random(len(amounts)) < share
        cost = _cost(amounts[out].sum(axis=0)[None], out.sum()[None], len(out), share)[0]
        while True:
            sums = amounts[out].sum(axis=0) + np.where(out, -1, 1)[:, None] * amounts
            costs = _cost(sums, out.sum() + np.where(out, -1, 1), len(out), share)
            if not costs.min() < cost - 1e-12:
                break
            position = int(costs.argmin())
            out[position], cost = ~out[position], costs[position]
        found.append((cost, out))
    return [out for _, out in sorted(found, key=lambda pair: pair[0])]


def _cost(held_out: np.ndarray, number: np.ndarray, parts: int, share: float) -> np.ndarray:
    """How far shares [K, Q] are from the one wanted; the tiles themselves (the first) count as much as all others."""
    off = (held_out - share) ** 2
    cost = off[:, 0] + off[:, 1:].mean(axis=1) if off.shape[1] > 1 else off[:, 0]
    cost = cost + LACKING * (held_out > 1 - 1e-9).sum(axis=1)
    return np.where((number == 0) | (number == parts), np.inf, cost)


def _sharing(places: Sequence[TilePlace]) -> np.ndarray:
    """[2, K], pairs of tiles that show some of the same ground, in one scene or in two; each in both orders."""
    outlines = _outlines(places)
    tree = shapely.STRtree(outlines)
    pairs = []
    for turn in (-360.0, 0.0, 360.0):  # 180 degrees east is 180 degrees west
        moved = shapely.transform(outlines, lambda points, by=turn: points + (by, 0))
        pairs.append(tree.query(moved, predicate="intersects"))
    together = np.concatenate(pairs, axis=1)
    return together[:, together[0] != together[1]]


def _outlines(places: Sequence[TilePlace]) -> np.ndarray:
    """The ground of tiles in degrees, half a pixel less on each side, so that neighbors share nothing."""
    outlines = []
    for place in places:
        height, width = place.grid.shape
        columns = np.array([0.5, width / 2, width - 0.5, width - 0.5, width - 0.5, width / 2, 0.5, 0.5])
        rows = np.array([0.5, 0.5, 0.5, height / 2, height - 0.5, height - 0.5, height - 0.5, height / 2])
        moved = move_points(place.grid.transform * np.array([columns, rows]), place.grid.crs, WGS84)
        if moved is None:
            outlines.append(shapely.Polygon())
            continue
        longitudes = move_near(moved[0], float(moved[0][0]), 360.0)
        outlines.append(shapely.Polygon(np.column_stack([longitudes, moved[1]])))
    return np.array(outlines, dtype=object)
