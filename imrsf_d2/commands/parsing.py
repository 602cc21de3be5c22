"""Argument parsing that all commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TypeVar

from imrsf_d2.utils.command_names import TOOLS, as_called
from imrsf_d2.utils.errors import InputError

__all__ = ["command_parser", "read_pairs"]

Value = TypeVar("Value")


def command_parser(name: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser whose texts name commands as the reader calls them.

    Args:
        name: a key of `TOOLS`.
        description, epilog: written for a checkout.
    """
    return argparse.ArgumentParser(
        prog=as_called(TOOLS[name]),
        description=as_called(description),
        epilog=as_called(epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def read_pairs(option: str, texts: Sequence[str] | None, convert: Callable[[str], Value], form: str) -> dict[str, Value]:
    """ "rgb=scene.tif" -> {"rgb": "scene.tif"}.

    Args:
        option: for messages.
        texts: what was given, None for nothing.
        convert: makes the value.
        form: of a text, for messages: "NAME=FILES, e.g. rgb=scene.tif".

    Raises:
        InputError: if a text is no such pair, or names what another one named.
    """
    pairs: dict[str, Value] = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        try:
            if not name or not value:
                raise ValueError
            converted = convert(value)
        except ValueError:
            raise InputError(f"{option} is {text!r}, expected {form}.") from None
        if name in pairs:
            raise InputError(f"{option} names {name!r} twice; several files of one sensor are a folder or a glob.")
        pairs[name] = converted
    return pairs
