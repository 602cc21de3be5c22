"""Command-line options that tools/study.py and tools/pretrain_demo.py share. Imports nothing heavy: --help must be fast."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_run_options", "locate"]


def add_run_options(parser: argparse.ArgumentParser, output: str, results: str) -> None:
    """Add --output, --results, --only, --report-only and KEY VALUE.

    Args:
        output, results: the defaults as the help states them.
    """
    parser.add_argument("--output", metavar="DIR", help=f"folder of the runs (default: {output})")
    parser.add_argument("--results", metavar="FILE", help=f"the report (default: {results}; with --output: DIR/results.md)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="MODEL[-seedK]",
        help="work on this model or run only; may be repeated",
    )
    parser.add_argument("--report-only", action="store_true", help="train nothing, report on the finished runs")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="changes to every run's config")


def locate(args: argparse.Namespace, output: str, results: Path) -> tuple[Path, Path]:
    """The folder of the runs and the path of the report.

    Args:
        args: from a parser with these options.
        output, results: the defaults.
    """
    folder = Path(args.output or output)
    return folder, Path(args.results or (folder / "results.md" if args.output else results))
