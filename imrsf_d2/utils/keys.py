"""Config keys by their full names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

__all__ = ["flat_keys", "is_part"]


def flat_keys(tree: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield (full name, value) of a config, or of one read from YAML: "SOLVER.AMP.ENABLED", True."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_part(key: str, parts: Iterable[str]) -> bool:
    """Whether a full name is one of some names, or lies below one: "MODEL.DEVICE" below "MODEL"."""
    return any(key == part or key.startswith(f"{part}.") for part in parts)
