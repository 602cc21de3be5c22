"""The unit of work, of resuming and of sharing among processes: a part of the scene whose result is a file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.inference.windows import Window, WindowGrid
from imrsf_d2.utils.atomic import remove_temporaries, write_text
from imrsf_d2.utils.errors import InputError, OccupiedError, some_of
from imrsf_d2.utils.locks import take_lock

__all__ = ["Block", "BlockFolder", "area_blocks", "window_blocks"]

#: No row of blocks has more than this part of the rows of windows that are left.
LAST_ROWS = 3
_JOB = "job.json"
_LOCK = "lock"
_BLOCKS = "block_*.npz"
#: What a run writes beside them.
_LOG = "log.txt"
_OF_A_RUN = (f"{_LOG}*", "config.yaml")
#: How many differences of two runs a message lists.
SHOWN_CHANGES = 10


@dataclass(frozen=True)
class Block:
    """A part of a scene.

    Args:
        index: its place in the order of the blocks, row by row.
        row: of blocks.
        windows: those that it needs, in their order.
        area: (top, left, bottom, right) that its result covers, px; None where windows belong to one block each.
    """

    index: int
    row: int
    windows: tuple[Window, ...]
    area: tuple[int, int, int, int] | None = None


def window_blocks(windows: WindowGrid, side_px: int) -> list[Block]:
    """Blocks of about `side_px` that share the windows out, so that none is computed twice; for objects.

    Towards the end they are flatter: a row of blocks is merged while the next is computed, and only what the last one has is
    left to be merged then.
    """
    per_side = max(1, round(side_px / (windows.size - windows.overlap)))
    blocks: list[Block] = []
    top = row = 0
    while rest := len(windows.tops) - top:
        rows = range(top, top + min(per_side, -(-rest // LAST_ROWS)))
        for left in range(0, len(windows.lefts), per_side):
            columns = range(left, min(left + per_side, len(windows.lefts)))
            mine = tuple(windows[r * len(windows.lefts) + c] for r in rows for c in columns)
            blocks.append(Block(len(blocks), row, mine))
        top, row = rows.stop, row + 1
    return blocks


def area_blocks(windows: WindowGrid, side_px: int, shape: tuple[int, int]) -> list[Block]:
    """Blocks of `side_px` x `side_px` pixels, each with all the windows that touch it, so that none needs another's; for
    label maps.

    Args:
        shape: (H, W) of the map, which the windows cover.
    """
    height, width = shape
    blocks: list[Block] = []
    for row, top in enumerate(range(0, height, side_px)):
        for left in range(0, width, side_px):
            area = top, left, min(top + side_px, height), min(left + side_px, width)
            blocks.append(Block(len(blocks), row, tuple(windows.touching(*area)), area))
    return blocks


class BlockFolder:
    """Where finished blocks are kept until the map is written.

    Nobody else can use the folder while this object is open, unless both share it; on a network file system without locks
    nobody is kept away.

    Args:
        path: of the folder; made if needed.
        identity: what the results follow from; a folder of another run is never added to.
        resume: go on with what a run before has left; otherwise there must be no finished block.
        shared: with other processes that compute blocks of the same run.

    Raises:
        InputError: if the folder cannot be made.
        OccupiedError: if it holds a run and `resume` is not asked for, it is of another run or in use.
    """

    def __init__(self, path: str | os.PathLike, identity: Mapping[str, object], *, resume: bool, shared: bool = False):
        self.path = Path(path)
        self._shared = shared
        if self.path.exists() and not (self.path / _JOB).is_file() and (others := self._not_ours()):
            raise OccupiedError(
                f"{self.path} is needed for the run and holds other files ({some_of(others)}); remove it or name another "
                "--output."
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / _LOCK, "w")
        except OSError as error:
            raise InputError(
                f"{self.path} is needed for the run and cannot be made: {error.strerror}. Name another --output."
            ) from error
        try:
            self._take_lock()
            self._begin(json.loads(json.dumps(identity)), resume)
        except BaseException as error:
            if not isinstance(error, OccupiedError) and not (self.path / _JOB).exists():
                self.remove()  # a full disk, say
            self._lock.close()
            raise

    def __enter__(self) -> BlockFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others use the folder. If nobody shares it and no block was finished, nothing of it is left."""
        if not self._lock.closed and not self._shared and not self._finished():
            self.remove()
        self._lock.close()

    def _take_lock(self) -> None:
        try:
            take_lock(self._lock, shared=self._shared)
        except BlockingIOError as error:
            raise OccupiedError(
                f"{self.path} is in use: another process computes the same map. Wait for it, or name another --output."
            ) from error

    def _begin(self, identity: dict[str, object], resume: bool) -> None:
        """Compare with the run that the folder is of; it becomes one of this run if it is of none that finished anything."""
        job = self.path / _JOB
        if job.is_file() and (self._finished() or self._shared):
            before = json.loads(job.read_text())
            if not resume:
                raise OccupiedError(
                    f"{self.path} holds an unfinished run. Pass --resume to continue it, or remove the folder to begin again."
                )
            changed = [
                f"{key} was {before.get(key, 'not there')}, now {identity.get(key, 'not there')}"
                for key in sorted(before.keys() | identity.keys())
                if before.get(key) != identity.get(key)
            ]
            if changed:
                raise OccupiedError(
                    f"{self.path} is of another run and cannot be continued: {'; '.join(changed[:SHOWN_CHANGES])}"
                    f"{f' and {len(changed) - SHOWN_CHANGES} more' if len(changed) > SHOWN_CHANGES else ''}. "
                    "Remove it, or name another --output."
                )
        else:
            write_text(job, json.dumps(identity, indent=1))

    def _finished(self) -> bool:
        return any("." not in path.stem for path in self.path.glob(_BLOCKS))

    def _not_ours(self) -> list[str]:
        """Names of files that no run has written."""
        ours = {path.name for pattern in (_LOCK, *_OF_A_RUN) for path in self.path.glob(pattern)}
        return sorted(entry.name for entry in self.path.iterdir() if entry.name not in ours)

    @property
    def objects(self) -> Path:
        """The folder of what is written of the map while blocks are still computed."""
        return self.path / "objects"

    def file(self, block: Block, part: str = "") -> Path:
        """Where a block's result is, or will be; or a part of it, which is written before."""
        return self.path / f"block_{block.index:06d}{part and '.'}{part}.npz"

    def missing(self, blocks: Sequence[Block]) -> list[Block]:
        """Those without a result yet."""
        return [block for block in blocks if not self.file(block).is_file()]

    def check_complete(self, blocks: Sequence[Block]) -> None:
        """See that all results are there.

        Raises:
            InputError: if some are not.
        """
        if missing := self.missing(blocks):
            raise InputError(
                f"{self.path} lacks {len(missing)} of {len(blocks)} blocks ({some_of(missing_names(missing))}): run the missing "
                "--shard first."
            )

    def remove(self, log: Path | None = None) -> None:
        """Remove the folder and what this run has put there; what others have put there stays.

        Args:
            log: where the run's log goes, if it has one; None removes it, too.
        """
        remove_temporaries(self.path)
        if log is not None and (self.path / _LOG).is_file():
            os.replace(self.path / _LOG, log)
        shutil.rmtree(self.objects, ignore_errors=True)
        for pattern in (_BLOCKS, *_OF_A_RUN, _JOB, _LOCK):
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)
        self._lock.close()
        with contextlib.suppress(OSError):  # not empty
            self.path.rmdir()


def missing_names(blocks: Sequence[Block]) -> list[str]:
    """Block numbers, for messages."""
    return [str(block.index) for block in blocks]
