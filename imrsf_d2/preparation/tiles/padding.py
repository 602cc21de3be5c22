"""How much of the tiles lies beyond their scenes, and which size would leave less."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from imrsf_d2.preparation.tiles.scenes import GridOptions, TileScene, tiles_along
from imrsf_d2.utils.errors import percent

__all__ = ["padding_remark"]

#: A share of padding above this is worth another tile size.
MOST_PADDING = 0.1
#: Other sizes are multiples of this, px, which suits every usual patch size, or the longest side of small scenes.
STEP = 16


def padding_remark(scenes: Sequence[TileScene], grids: GridOptions) -> Iterator[str]:
    """A word if more than a tenth of the tiles' pixels lie beyond the scenes, with the tile size that fits better."""
    shapes = Counter(scene.grid.shape for scene in scenes)
    share = _padding(shapes, grids.tile, grids.overlap)
    if share <= MOST_PADDING:
        return
    low, high = max(grids.tile // 2, grids.overlap + 1, STEP), grids.tile * 3 // 2
    sides = [*range(-(-low // STEP) * STEP, high + 1, STEP)]
    largest = max(side for shape in shapes for side in shape)
    if max(grids.overlap + 1, STEP) <= largest < grids.tile:
        sides.append(largest)
    # Of sizes that are as good, the one nearest to what was asked for.
    best, _, size = min((_padding(shapes, side, grids.overlap), abs(side - grids.tile), side) for side in sides)
    advice = f": --tile {size} would leave {percent(best) if best else 'none'}" if best < share / 2 else ""
    yield f"{percent(share)} of the tiles' pixels are padding beyond the scenes{advice}"


def _padding(shapes: Counter[tuple[int, int]], tile: int, overlap: int) -> float:
    """The share of the pixels of all tiles that lie beyond their scenes.

    Args:
        shapes: (height, width) of scenes, px, and how many have it.
    """
    inside = total = 0
    for (height, width), number in shapes.items():
        down, across = (
            [
                min(tile, side - start)
                for start in range(0, tiles_along(side, tile, overlap) * (tile - overlap), tile - overlap)
            ]
            for side in (height, width)
        )
        inside += number * sum(down) * sum(across)
        total += number * len(down) * len(across) * tile**2
    return 1 - inside / total
