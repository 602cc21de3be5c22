"""The objects of a scene from what was found in its blocks: each once, as polygons."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from imrsf_d2.inference.blocks import Block
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.merging import MergedObject, merge
from imrsf_d2.inference.outlines import area_m2, outlines
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.vector_files import Feature
from imrsf_d2.inference.windows import WindowGrid

__all__ = ["features", "merged_objects"]


def merged_objects(
    windows: WindowGrid, blocks: Sequence[Block], found: Iterable[Mapping[int, Sequence[Detection]]]
) -> Iterator[list[MergedObject]]:
    """The objects of a scene, each once, some at a time, as soon as no later row of blocks can change them.

    Args:
        blocks: all of the scene's, of `window_blocks`.
        found: for each of them what `find_objects` gives; taken only when all that is final without it has been given.
    """
    found = iter(found)

    def rows() -> Iterator[tuple[int, Sequence[Detection] | None]]:
        for _, row in itertools.groupby(blocks, key=lambda block: block.row):
            detections: dict[int, Sequence[Detection]] = {}
            for number, block in enumerate(row):
                if number == 0:
                    yield block.windows[0].index, None  # what is final need not wait for what is yet to be computed
                detections |= next(found)
            yield from sorted(detections.items())

    return merge(windows, rows())


def features(
    scene: Scene,
    objects: Iterable[Sequence[MergedObject]],
    classes: Sequence[str],
    *,
    min_score: float = 0.0,
    min_area: float = 0.0,
    simplify: float = 0.0,
) -> Iterator[Feature]:
    """Objects as polygons in the scene's coordinates.

    Args:
        objects: some at a time, which are traced together.
        classes: their names.
        min_score: those of a lower one are left out.
        min_area: smaller ones are left out, m2.
        simplify: see `outline`.
    """
    names = scene.modalities.names
    crs = scene.grid.crs
    assert crs is not None  # see `open_scene`
    for every in objects:
        some = [found for found in every if found.score >= min_score]
        places = ((found.top, found.left, found.mask) for found in some)
        for found, geometry in zip(some, outlines(places, scene.grid.transform, simplify)):
            if not scene.asks_for(geometry):
                continue
            area = area_m2(geometry, crs)
            if area >= min_area:
                sensors = tuple(name for m, name in enumerate(names) if found.sensors >> m & 1)
                cut = found.cut or not scene.looks_at_all_of(geometry)
                yield Feature(geometry, classes[found.label], found.score, area, sensors, cut)
