"""What is asked of a map, which parts it is computed in, and the objects from what was found in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from imrsf_d2.inference.blocks import Block, area_blocks, window_blocks
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.objects import features, merged_objects
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.vector_files import Feature
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.utils.errors import InputError

__all__ = ["ScenePlan", "Settings"]

#: Side of the part of a scene that is computed, kept and shared out as one, px.
BLOCK_PX = 2048


@dataclass(frozen=True)
class Settings:
    """What is asked of a map.

    Args:
        window: side of what the model sees at a time, px: that of its training crops.
        overlap: of neighboring windows, px, at least a quarter of `window`; None for just that.
        min_score: objects below it are left out.
        min_area: smaller objects are left out, m2.
        simplify: how far outlines may be moved to have fewer corners, in units of the map; 0 keeps each pixel's edges.

    Raises:
        ValueError: if a number is out of range.
    """

    window: int = 256
    overlap: int | None = None
    min_score: float = 0.5
    min_area: float = 0.0
    simplify: float = 0.0

    @property
    def windows(self) -> tuple[int, int]:
        """Their side and overlap, px."""
        assert self.overlap is not None  # see `__post_init__`
        return self.window, self.overlap

    def __post_init__(self) -> None:
        if self.overlap is None:
            object.__setattr__(self, "overlap", -(-self.window // 4))
        for name in ("min_area", "simplify"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name.replace('_', ' ')} is {getattr(self, name):g}, expected 0 or more.")


class ScenePlan:
    """The windows and blocks of one map, however they are computed.

    Args:
        scene: what the sensors recorded.
        settings: what is asked for.
        classes: names of the model's classes.
        instances: objects, or classes of pixels.
    """

    def __init__(self, scene: Scene, settings: Settings, classes: Sequence[str], *, instances: bool):
        self.scene, self.settings, self.classes, self.instances = scene, settings, list(classes), instances
        self.windows: WindowGrid
        self.blocks: list[Block]
        if instances:
            self.windows = WindowGrid(*scene.grid.shape, *settings.windows)
            self.blocks = window_blocks(self.windows, BLOCK_PX)
        else:  # the pixels of a part of a map are those of the whole
            self.windows = scene.windows(*settings.windows)
            self.blocks = area_blocks(self.windows, BLOCK_PX, scene.grid.shape)

    def features(self, found: Iterable[Mapping[int, Sequence[Detection]]]) -> Iterator[Feature]:
        """The objects of the scene, each once, as soon as no later row of blocks can change it.

        Args:
            found: the detections in each window of block after block; see `merged_objects`.
        """
        objects = merged_objects(self.windows, self.blocks, found)
        options = {name: getattr(self.settings, name) for name in ("min_score", "min_area", "simplify")}
        return features(self.scene, objects, self.classes, **options)
