"""Argument parsing that all commands share."""

from __future__ import annotations

import argparse

from imrsf_d2.utils.command_names import TOOLS, as_called

__all__ = ["command_parser"]


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
