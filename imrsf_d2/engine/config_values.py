"""Values of config keys as the keys' defaults are: whole numbers for fractions, and texts that look like numbers."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from imrsf_d2.utils.keys import flat_keys

__all__ = ["like_declared", "override_values"]


def like_declared(declared: Mapping, values: Mapping) -> dict[str, Any]:
    """Values that a YAML file sets, with whole numbers as fractions where a key has one: `TRAIN_SHARE: 1`.

    Args:
        declared: the config, with all keys.
        values: as read; keys that the config lacks stay as they are.
    """
    return {
        key: like_declared(declared[key], value)
        if isinstance(value, Mapping) and isinstance(declared.get(key), Mapping)
        else _as_fraction(declared.get(key), value)
        for key, value in values.items()
    }


def override_values(declared: Mapping, opts: Sequence[str]) -> list[str]:
    """KEY VALUE pairs, with values as `CfgNode.merge_from_list` has to be given them: it takes each for Python if it can.

    Args:
        declared: the config, with all keys.
        opts: alternating keys and values.
    """
    values, defaults = list(opts), dict(flat_keys(declared))
    for place in range(1, len(values), 2):
        old, new = defaults.get(values[place - 1]), _literal(values[place])
        if isinstance(old, str) and not isinstance(new, str):
            values[place] = repr(values[place])  # a folder called 20261126
        elif isinstance(new, (int, float)):
            values[place] = repr(_as_fraction(old, new))
    return values


def _as_fraction(old: object, new: Any) -> Any:
    return float(new) if isinstance(old, float) and type(new) is int else new


def _literal(text: object) -> object:
    try:
        return ast.literal_eval(text) if isinstance(text, str) else text
    except (ValueError, SyntaxError):
        return text
