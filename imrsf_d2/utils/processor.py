"""The processor of this machine: its name, who made it, and of which family it is."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Processor", "processor"]

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Processor:
    """A processor as it reports itself.

    Args:
        name: e.g. "AMD EPYC 9654 96-Core Processor".
        vendor: what x86 processors answer, e.g. "AuthenticAMD" or "GenuineIntel"; empty if unknown, and for others.
        family: number of the vendor's family of designs; 0 if unknown.
    """

    name: str
    vendor: str = ""
    family: int = 0

    @classmethod
    def from_cpuinfo(cls, text: str) -> Processor:
        """From Linux' /proc/cpuinfo, of which the first processor counts; what is not there stays unknown."""
        fields: dict[str, str] = {}
        for line in text.splitlines():
            key, colon, value = line.partition(":")
            if colon:
                fields.setdefault(key.strip(), value.strip())
        family = fields.get("cpu family", "")
        return cls(fields.get("model name", ""), fields.get("vendor_id", ""), int(family) if family.isdecimal() else 0)

    @classmethod
    def from_windows(cls, text: str) -> Processor:
        """From Windows' identifier, e.g. "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD"."""
        found = re.search(r"Family (\d+) .*, (\w+)$", text)
        return cls(text, found[2], int(found[1])) if found else cls(text)


@cache
def processor() -> Processor:
    """The processor that this process runs on; without a name in the system's files, its architecture is the name."""
    if _CPUINFO.is_file():
        found = Processor.from_cpuinfo(_CPUINFO.read_text(errors="replace"))
        if found.name:
            return found
    return Processor.from_windows(platform.processor() or platform.machine())
