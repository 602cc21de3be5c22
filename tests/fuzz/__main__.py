"""python -m tests.fuzz --cases 10000 --seed 0 [--write docs/fuzzing.md]: damaged and odd inputs, and what becomes of them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tabulate import tabulate

from tests.fuzz.runner import BAD, run_cases, table

HEAD = """# Damaged and odd inputs

`python -m tests.fuzz --cases {cases} --seed {seed} --write docs/fuzzing.md` generates random files (rasters of every data type,
with no-data tags, scales, masks and alpha bands; label maps; COCO files; checkpoints), damages most of them (flipped bits,
truncation, removed or replaced values, files of another kind), and reads each with the package, in a process of its own.
"Right" means: a sensor's raster and a label map equal a plain pixel-by-pixel reading in float64; perfect predictions of a COCO
file score AP 100; a model holds what the checkpoint holds. The other correct result is an error that names the file. Wrong numbers,
crashes, hangs (over a minute) and killed processes are failures; the test suite runs a few hundred cases.

One failure is known that cannot be fixed here: if a damaged deflate stream ends early, GDAL 3.10.3 silently fills the rest with
whatever is in memory (one of the 20,000 cases of `--seed 1`).

{seconds:.0f} s on {processes} process{plural}:

{table}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of cases to run again")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there")
    args = parser.parse_args()
    start = time.perf_counter()
    outcomes = run_cases(args.only or list(range(args.cases)), args.seed, args.processes)
    seconds = time.perf_counter() - start
    header, *rows = table(outcomes)
    text = tabulate(rows, headers=header, tablefmt="github")
    bad = [outcome for outcome in outcomes if outcome.result in BAD]
    for outcome in bad[:40]:
        print(f"case {outcome.number} ({outcome.target}, {outcome.kind}): {outcome.result}\n{outcome.detail}")
    print(f"{text}\n{len(bad)} failures in {len(outcomes)} cases, {seconds:.0f} s")
    if args.write:
        args.write.write_text(
            HEAD.format(
                cases=args.cases,
                seed=args.seed,
                seconds=seconds,
                processes=args.processes,
                plural="es" * (args.processes != 1),
                table=text,
            )
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
