"""Processes that read a scene and make detections of masks, so that Python's threads need not take turns with the one that
launches the model."""

from __future__ import annotations

import math
import os
import pickle
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import RawArray
from typing import TypeVar

import numpy as np

from imrsf_d2.geo.gdal import DECODED_MIB
from imrsf_d2.inference import scene_reading
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.reduction import FoundMasks, find_detections
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.scene_reading import Tile
from imrsf_d2.inference.windows import Window
from imrsf_d2.utils.processes import SPAWN, end_with_parent, interrupts_held

__all__ = ["SceneWorkers", "can_share", "wait_for"]

#: Windows whose tiles may be read before the model gets to them.
WINDOWS_AHEAD = 64
#: Of files that live in the memory of one process.
_IN_MEMORY = ("/vsimem/", "MEM:")

Result = TypeVar("Result")


def can_share(scene: Scene) -> bool:
    """Whether other processes can open a scene's files; not those that Python has given as arrays."""
    return not any(mark in file.path for files in scene.sensors.values() for file in files for mark in _IN_MEMORY)


class SceneWorkers:
    """Processes for one scene. Until one is there, which takes about a second, its work is done by who asks for it.

    Tiles lie in memory that all processes share, as many as a scene keeps. Row r of tiles is read by process r modulo their
    number, so that what GDAL has decoded for one tile serves its neighbor. Which tiles are read, and how often, is as in one
    process: the same are kept.

    Not for several threads at a time, but for `find`, which may have another than the rest.

    Args:
        scene: whose files have names; see `can_share`.
        number: of processes.
    """

    def __init__(self, scene: Scene, number: int):
        self._scene = scene
        rows, columns = scene.tile_grid()
        pixels = scene.modalities.num_channels * scene_reading.TILE_PX**2
        rooms = max(1, min(scene_reading.CACHE_BYTES // (4 * pixels), rows * columns))
        memory = RawArray("f", rooms * pixels)
        self._rooms = np.frombuffer(memory, np.float32).reshape(rooms, pixels)
        self._free = list(range(rooms))
        #: tile -> the room that it is or will be in, and the shape of what is there: None if no sensor has data
        self._kept: OrderedDict[Tile, tuple[int, Future[tuple[int, ...] | None]]] = OrderedDict()
        given = (scene, memory, rooms, max(1, DECODED_MIB // number))
        self._pools = [ProcessPoolExecutor(1, SPAWN, _begin, given) for _ in range(number)]
        with interrupts_held():
            self._begun = [pool.submit(os.getpid) for pool in self._pools]
        self._turn = 0

    def __enter__(self) -> SceneWorkers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, when what they are at is done."""
        for _, read in self._kept.values():
            read.cancel()  # of all processes, before the first is waited for
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def ahead(self, windows: Iterable[Window]) -> Iterator[tuple[Window, bool]]:
        """Windows in their order, and whether the scene wants them, while the tiles of those to come are being read."""
        waiting: deque[tuple[Window, list[Tile]]] = deque()
        needed: Counter[Tile] = Counter()

        def first() -> tuple[Window, bool]:
            window, tiles = waiting.popleft()
            for tile in tiles:
                needed[tile] -= 1
                if not needed[tile]:
                    del needed[tile]
            return window, bool(tiles)

        for window in windows:
            tiles = self._scene.tiles(window) if self._scene.wants(window) else []
            while waiting and (
                len(waiting) >= WINDOWS_AHEAD or len(needed.keys() | set(tiles)) > len(self._rooms)
            ):  # of those that wait, no tile may lose its room
                yield first()
            waiting.append((window, tiles))
            needed.update(tiles)
            for tile in tiles:
                self._request(tile)
        while waiting:
            yield first()

    def tile(self, tile: Tile) -> np.ndarray | None:
        """As `Scene.read_area` reads it; to be used before the next is asked for.

        Raises:
            RasterError, ValueError: see `Scene.read`.
        """
        if not self._request(tile):
            pixels = self._scene.read_area(*self._scene.tile_area(tile))
            room, read = self._room(), Future[tuple[int, ...] | None]()
            read.set_result(_put(self._rooms[room], pixels))
            self._kept[tile] = room, read
        room, read = self._kept[tile]
        shape = wait_for(read)
        return None if shape is None else self._rooms[room][: math.prod(shape)].reshape(shape)

    def find(self, found: Sequence[FoundMasks], scene: tuple[int, int]) -> Future[list[list[Detection]]] | None:
        """`find_detections` of each window in a process; None if the one whose turn it is has not begun."""
        self._turn = (self._turn + 1) % len(self._pools)
        if not self._begun[self._turn].done():
            return None
        # Protocol 5 copies arrays once; what the pool itself uses, several times.
        return self._pools[self._turn].submit(_find, pickle.dumps(found, protocol=5), scene)

    def _request(self, tile: Tile) -> bool:
        """Have a tile read, unless it is there or on its way; False if its process has not begun."""
        if tile in self._kept:
            self._kept.move_to_end(tile)
            return True
        place = tile[0] % len(self._pools)
        if not self._begun[place].done():
            return False
        room = self._room()
        self._kept[tile] = room, self._pools[place].submit(_read, room, *self._scene.tile_area(tile))
        return True

    def _room(self) -> int:
        """One that is free, or that of the tile that was asked for longest ago."""
        if self._free:
            return self._free.pop()
        _, (room, read) = self._kept.popitem(last=False)
        read.exception()  # until nobody writes there; what failed matters only to who asks for that tile
        return room


def wait_for(future: Future[Result]) -> Result:
    """What a process gives.

    Raises:
        Exception: what it has failed with.
    """
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise RuntimeError("a process that reads the scene has ended (killed, e.g. for lack of memory).") from error


def _put(room: np.ndarray, pixels: np.ndarray | None) -> tuple[int, ...] | None:
    if pixels is None:
        return None
    room[: pixels.size] = pixels.reshape(-1)
    return pixels.shape


class _Process:
    """What such a process has: set by `_begin`."""

    scene: Scene
    rooms: np.ndarray


def _begin(scene: Scene, memory: object, rooms: int, decoded_mib: int) -> None:
    end_with_parent()
    os.environ.setdefault("GDAL_CACHEMAX", str(decoded_mib))
    _Process.scene = scene
    _Process.rooms = np.frombuffer(memory, np.float32).reshape(rooms, -1)  # type: ignore[call-overload]


def _read(room: int, rows: slice, columns: slice) -> tuple[int, ...] | None:
    return _put(_Process.rooms[room], _Process.scene.read_area(rows, columns))


def _find(pickled: bytes, scene: tuple[int, int]) -> list[list[Detection]]:
    return [find_detections(masks, scene) for masks in pickle.loads(pickled)]
