"""Which graphics cards a compiled extension has kernels for: python requirements/cuda_kernels.py FILE NAME ARCHITECTURES

Exits with 1 if FILE lacks kernels called NAME for one of the ARCHITECTURES (as in TORCH_CUDA_ARCH_LIST: "8.0;9.0+PTX").
Reads the file alone: it needs neither a card nor cuobjdump, which many toolkits come without.
"""

import re
import struct
import sys
from pathlib import Path

MAGIC = struct.pack("<I", 0xBA55ED50)
CONTAINER = struct.Struct("<IHHQ")  # magic, version, size of this header, size of all entries
ENTRY = struct.Struct(
    "<HHIQIIHHI"
)  # kind, -, size of this header, of the content, compressed, -, minor, major, architecture
PTX, CUBIN = 1, 2


def device_code(data: bytes) -> list[tuple[int, int, bytes | None]]:
    """(PTX or CUBIN, architecture such as 80, content or None if compressed) of everything in an extension's bytes."""
    found, at = [], data.find(MAGIC)
    while at >= 0:
        _, version, header, size = CONTAINER.unpack_from(data, at)
        place, end = at + header, at + header + size
        while version == 1 and place + ENTRY.size <= end <= len(data):
            kind, _, header, size, compressed, _, _, _, architecture = ENTRY.unpack_from(data, place)
            if not header:
                break
            content = data[place + header : place + header + size]
            found.append((kind, architecture, None if compressed else content))
            place += header + size
        at = data.find(MAGIC, at + len(MAGIC))
    return found


def wanted(architectures: str) -> set[tuple[int, int]]:
    """(kind, architecture) of a list such as "8.0;9.0+PTX"."""
    entries = set()
    for text in re.split(r"[;\s]+", architectures.strip()):
        version, _, ptx = text.partition("+")
        number = int(version.rstrip("af").replace(".", ""))
        entries |= {(CUBIN, number)} | ({(PTX, number)} if ptx else set())
    return entries


def in_words(entries: set[tuple[int, int]]) -> str:
    """ "sm_80, sm_90, PTX of sm_90": machine code first."""
    words = {CUBIN: "", PTX: "PTX of "}
    return ", ".join(
        f"{words[kind]}sm_{number}" for kind, number in sorted(entries, key=lambda entry: (-entry[0], entry[1]))
    )


def main(file: str, name: str, architectures: str) -> int:
    present = {
        (kind, architecture)
        for kind, architecture, content in device_code(Path(file).read_bytes())
        if content is None or kind == PTX or name.encode() in content
    }
    missing = wanted(architectures) - present
    print(f"{file}: {name} for {in_words(present) or 'no card'}{f'; missing: {in_words(missing)}' if missing else ''}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
