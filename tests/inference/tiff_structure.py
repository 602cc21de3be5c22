"""What a TIFF file is, byte by byte, without GDAL: enough to see whether it is a Cloud-Optimized GeoTIFF."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

#: Bytes of a value of a TIFF type, and its letter for `struct`.
TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 12: "d", 16: "Q"}
WIDTH, HEIGHT, BITS, STRIPS, TILE_WIDTH, TILE_OFFSETS, TILE_BYTES, PALETTE, NODATA = (
    256,
    257,
    258,
    273,
    322,
    324,
    325,
    320,
    42113,
)


@dataclass(frozen=True)
class Directory:
    """One image of a file: where its directory lies, and its tags."""

    offset: int
    tags: dict[int, tuple]

    @property
    def size(self):
        return self.tags[WIDTH][0], self.tags[HEIGHT][0]


def read_directories(path: Path) -> list[Directory]:
    data = path.read_bytes()
    assert data[:2] == b"II"
    big = struct.unpack_from("<H", data, 2)[0] == 43
    (offset,) = struct.unpack_from("<Q", data, 8) if big else struct.unpack_from("<I", data, 4)
    found = []
    while offset:
        (count,) = struct.unpack_from("<Q" if big else "<H", data, offset)
        place, step = offset + (8 if big else 2), 20 if big else 12
        tags = {}
        for i in range(count):
            tag, kind, number = struct.unpack_from("<HHQ" if big else "<HHI", data, place + step * i)
            letter = TYPES.get(kind)
            if letter is None:
                continue
            where = place + step * i + (12 if big else 8)
            if struct.calcsize(letter) * number > (8 if big else 4):
                (where,) = struct.unpack_from("<Q" if big else "<I", data, where)
            tags[tag] = struct.unpack_from(f"<{number}{letter}", data, where)
        found.append(Directory(offset, tags))
        (offset,) = struct.unpack_from("<Q" if big else "<I", data, place + step * count)
    return found


def check_cog(path: Path) -> list[Directory]:
    """Fail if a file is no Cloud-Optimized GeoTIFF: tiled, directories first, each overview smaller than what is before it,
    and the tiles of the smallest one first, so that a reader gets a view of the whole with few requests."""
    directories = read_directories(path)
    assert b"LAYOUT=IFDS_BEFORE_DATA" in path.read_bytes()[:300]
    assert all(TILE_WIDTH in d.tags and STRIPS not in d.tags for d in directories)
    sizes = [d.size for d in directories]
    assert all(a > b for a, b in zip(sizes, sizes[1:]))
    assert max(sizes[-1]) <= max(directories[0].tags[TILE_WIDTH][0], 512)
    written = [[o for o, n in zip(d.tags[TILE_OFFSETS], d.tags[TILE_BYTES]) if n] for d in directories]
    assert max(d.offset for d in directories) < min(map(min, written))
    for fine, coarse in zip(written, written[1:]):
        assert max(coarse) < min(fine)
    size = path.stat().st_size
    for d in directories:
        assert all(o + n <= size for o, n in zip(d.tags[TILE_OFFSETS], d.tags[TILE_BYTES]))
    return directories
