"""Ways in which files go wrong: bytes that a disk or a network changed, content that was written wrongly."""

from __future__ import annotations

import copy
import json
import random

__all__ = ["damage_bytes", "damage_tree"]

#: What stands where something else is expected.
ODD_VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    10**22,
    "",
    "x",
    "1",
    "é\\ü/.tif",
    [],
    {},
    [[]],
    [None],
    {"size": [16, 16]},
    [[1, 2, 3]],
    [[-1e9, -1e9, -1e9, 5, 5, -1e9]],
)
#: Files of other kinds under a name that promises something else.
OTHER_FILES = (
    b"",
    b"\0" * 4096,
    b"not found",
    b"<html><body>404</body></html>",
    b"{}",
    b"[1, 2",
    b"\x89PNG\r\n\x1a\n\0\0",
    b"PK\x03\x04",
    b"\x80\x02}q\0.",
    b"II*\0\x08\0\0\0\0\0",
    b"MM\0+\0\x08\0\0",
    b'<VRTDataset rasterXSize="8" rasterYSize="8"></VRTDataset>',
    b"\xff\xfe" + "{}".encode("utf-16-le"),
)


def damage_bytes(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Damage a file.

    Args:
        content: of the whole file.

    Returns:
        What was done, for the table; and the damaged content.
    """
    kind = draw.choice(
        (
            "bits flipped",
            "bits flipped in the header",
            "truncated",
            "a block of zeros",
            "bytes appended",
            "bytes removed",
            "another kind of file",
        )
    )
    if kind == "another kind of file" or not content:
        return "another kind of file", draw.choice(OTHER_FILES)
    data = bytearray(content)
    if kind.startswith("bits flipped"):
        end = min(len(data), 400) if kind.endswith("header") else len(data)
        for _ in range(draw.choice((1, 1, 2, 8, 64))):
            data[draw.randrange(end)] ^= 1 << draw.randrange(8)
    elif kind == "truncated":
        del data[draw.randrange(len(data)) :]
    elif kind == "a block of zeros":
        start = draw.randrange(len(data))
        length = min(draw.choice((4, 64, 512)), len(data) - start)
        data[start : start + length] = bytes(length)
    elif kind == "bytes appended":
        data += draw.randbytes(draw.choice((1, 100)))
    else:
        start = draw.randrange(len(data))
        del data[start : start + draw.choice((1, 7, 100))]
    return kind, bytes(data)


def damage_tree(tree: object, draw: random.Random) -> tuple[str, object]:
    """Change one to three places of a JSON document.

    Returns:
        What was done last, and the changed copy.
    """
    tree = copy.deepcopy(tree)
    kind = ""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            break
        holder, key = draw.choice(places)
        kind = draw.choice(
            ("a value replaced", "a value replaced", "a value removed", "an entry doubled", "two values swapped")
        )
        if kind == "a value removed":
            del holder[key]
        elif kind == "an entry doubled" and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == "two values swapped":
            other, other_key = draw.choice(places)
            holder[key], other[other_key] = copy.deepcopy(other[other_key]), copy.deepcopy(holder[key])
        else:
            kind = "a value replaced"
            holder[key] = copy.deepcopy(draw.choice(ODD_VALUES))
    return kind, json.loads(json.dumps(tree))


def _places(tree: object):
    """Every (container, key) of a document."""
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in items:
        yield tree, key
        yield from _places(value)
