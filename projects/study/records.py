"""Copies what reports need of finished runs, a few kilobytes each, so that it can be committed and another machine can go on.

Example, for the runs of `make study`:
    $ python -m projects.study.records output/study/instance projects/study/records/instance

On another machine the study goes on from there:
    $ mkdir -p output/study && cp -r projects/study/records/instance output/study/
    $ python tools/study.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from imrsf_d2.engine.configuration import CONFIG_FILE
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError, exit_code
from projects.study.outcomes import ORIGIN_FILE, RECORD_FILE

__all__ = ["keep_records"]


def keep_records(output: Path, records: Path) -> list[str]:
    """Copy the config and the record of every finished run; what is there of the same runs is replaced.

    Args:
        output: a folder of runs.
        records: gets a folder per run. The paths in its config begin with ./ in place of the folder of the runs.

    Returns:
        The names of the runs.

    Raises:
        InputError: if no run is finished.
    """
    found = sorted(output.glob(f"*/{RECORD_FILE}"))
    if not found:
        raise InputError(f"no finished run in {output}, expected folders with a {RECORD_FILE}.")
    for path in found:
        folder, name = path.parent, path.parent.name
        config = (folder / CONFIG_FILE).read_text(encoding="utf-8")
        root = Path(yaml.safe_load(config)["OUTPUT_DIR"]).parent
        write_text(records / name / CONFIG_FILE, config.replace(f"{root}/", "./"))
        if (folder / ORIGIN_FILE).is_file():
            write_text(records / name / ORIGIN_FILE, (folder / ORIGIN_FILE).read_text(encoding="utf-8"))
        # Last: with it the run counts as finished.
        write_text(records / name / RECORD_FILE, path.read_text(encoding="utf-8"))
    return [path.parent.name for path in found]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder of the runs")
    parser.add_argument("records", type=Path, help="folder of their records")
    args = parser.parse_args(argv)
    return exit_code(lambda: print(f"{len(keep_records(args.output, args.records))} records in {args.records}"))


if __name__ == "__main__":
    sys.exit(main())
