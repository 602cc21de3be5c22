#!/usr/bin/env python
"""Do the paper's claims hold? The proposed model, MultiViT and the ablations on one budget, and what the numbers say.

Examples:

Everything, in about two hours on two cores; run again, it keeps what is finished and continues what is not:
    $ python tools/study.py

Some of it, e.g. one model, or one run of another, and the report of all that is finished:
    $ python tools/study.py --only proposed --only multivit-seed1

The report again, from the logs of the runs:
    $ python tools/study.py --report-only

KEY VALUE pairs change the config of every run:
    $ python tools/study.py --output output/study/slower SOLVER.BASE_LR 0.0002
"""

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # where projects/ lies, which is not installed
#: scale -> where its report goes
RESULTS = {"cpu": "docs/results.md", "gpu": "docs/results_gpu.md"}


def main(argv: list[str] | None = None) -> int:
    from projects.study.options import add_run_options

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scale",
        choices=list(RESULTS),
        default="cpu",
        help="a small model for two cores (default), or a larger one on more data for a GPU",
    )
    add_run_options(parser, "output/study/SCALE", "docs/results.md, of the gpu scale docs/results_gpu.md")
    args = parser.parse_args(argv)

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: run(args), interrupted="interrupted; the same command goes on from here.")


def run(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.torchrun import check_one_process

    check_one_process("tools/study.py")
    from projects.study.options import locate
    from projects.study.running import run_study

    output, results = locate(args, f"output/study/{args.scale}", REPOSITORY / RESULTS[args.scale])
    run_study(
        args.scale,
        REPOSITORY / "projects/study/configs",
        output,
        results,
        only=args.only,
        report_only=args.report_only,
        opts=args.opts,
    )


if __name__ == "__main__":
    sys.exit(main())
