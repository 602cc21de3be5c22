"""The command line that the tools over several runs share. Imports nothing heavy, so that --help is quick."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_run_options", "locate"]


def add_run_options(parser: argparse.ArgumentParser, output: str, results: str) -> None:
    """Add --output, --results, --only, --report-only and KEY VALUE.

    Args:
        output, results: where they go by default, as the help says it.
    """
    parser.add_argument("--output", metavar="DIR", help=f"folder of the runs (default: {output})")
    parser.add_argument(
        "--results", metavar="FILE", help=f"the report (default: {results}; with --output, results.md in DIR)"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="MODEL[-seedK]",
        help="work on this model or run alone; may be repeated",
    )
    parser.add_argument("--report-only", action="store_true", help="run nothing, write the report of what is finished")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="changes to every run's config")


def locate(args: argparse.Namespace, output: str, results: Path) -> tuple[Path, Path]:
    """Where the runs and the report go.

    Args:
        args: of a parser with these options.
        output, results: the defaults.
    """
    folder = Path(args.output or output)
    return folder, Path(args.results or (folder / "results.md" if args.output else results))
