"""The unit of work, of resuming and of sharing among processes: a part of the scene whose result is a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.inference.windows import Window, WindowGrid
from imrsf_d2.utils.atomic import remove_temporaries, write_text
from imrsf_d2.utils.errors import InputError, OccupiedError, some_of

__all__ = ["Block", "BlockFolder", "area_blocks", "window_blocks"]

_JOB = "job.json"
#: What a run writes beside it.
_OF_A_RUN = ("log.txt", "config.yaml")


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
    """Blocks of about `side_px` that share the windows out, so that none is computed twice; for objects."""
    per_side = max(1, round(side_px / (windows.size - windows.overlap)))
    blocks: list[Block] = []
    for row, top in enumerate(range(0, len(windows.tops), per_side)):
        for left in range(0, len(windows.lefts), per_side):
            rows = range(top, min(top + per_side, len(windows.tops)))
            columns = range(left, min(left + per_side, len(windows.lefts)))
            mine = tuple(windows[r * len(windows.lefts) + c] for r in rows for c in columns)
            blocks.append(Block(len(blocks), row, mine))
    return blocks


def area_blocks(windows: WindowGrid, side_px: int) -> list[Block]:
    """Blocks of `side_px` x `side_px` pixels, each with all the windows that touch it, so that none needs another's; for
    label maps."""
    blocks: list[Block] = []
    for row, top in enumerate(range(0, windows.height, side_px)):
        for left in range(0, windows.width, side_px):
            area = top, left, min(top + side_px, windows.height), min(left + side_px, windows.width)
            blocks.append(Block(len(blocks), row, tuple(windows.touching(*area)), area))
    return blocks


class BlockFolder:
    """Where finished blocks are kept until the map is written.

    Args:
        path: of the folder; made if needed.
        identity: what the results follow from; a folder of another run is never added to.
        resume: go on with what a run before has left; otherwise there must be nothing.

    Raises:
        OccupiedError: if the folder holds a run and `resume` is not asked for, or it is of another run.
    """

    def __init__(self, path: str | os.PathLike, identity: Mapping[str, object], *, resume: bool):
        self.path = Path(path)
        job = self.path / _JOB
        identity = json.loads(json.dumps(identity))
        if job.is_file():
            before = json.loads(job.read_text())
            if not resume:
                raise OccupiedError(
                    f"{self.path} holds an unfinished run. Pass --resume to continue it, or remove the folder to begin again."
                )
            changed = [
                f"{key} was {before.get(key)!r}, now {identity.get(key)!r}"
                for key in sorted(before.keys() | identity.keys())
                if before.get(key) != identity.get(key)
            ]
            if changed:
                raise OccupiedError(
                    f"{self.path} is of another run and cannot be continued: {some_of(changed)}. Remove it, or name another --output."
                )
        elif self.path.exists() and any(entry.name not in _OF_A_RUN for entry in self.path.iterdir()):
            raise OccupiedError(
                f"{self.path} is needed for the run and holds other files; remove it or name another --output."
            )
        else:
            write_text(job, json.dumps(identity, indent=1))

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

    def remove(self) -> None:
        """Remove the folder and what this run has put there."""
        remove_temporaries(self.path)
        for file in [*self.path.glob("block_*.npz"), *(self.path / name for name in (*_OF_A_RUN, _JOB))]:
            file.unlink(missing_ok=True)
        self.path.rmdir()


def missing_names(blocks: Sequence[Block]) -> list[str]:
    """Block numbers, for messages."""
    return [str(block.index) for block in blocks]
