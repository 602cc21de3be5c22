#!/usr/bin/env python
"""Do the paper's claims hold? Train the proposed model, MultiViT and the ablations on one budget and compare their scores.

Examples:

Everything, in about two hours on two cores; repeated, the command keeps finished runs and resumes the others:
    $ python tools/study.py

A part of it, e.g. one model and one run of another; the report is about all runs that are finished:
    $ python tools/study.py --only proposed --only multivit-seed1

Only the report, from the logs of the runs:
    $ python tools/study.py --report-only

KEY VALUE pairs change the config of every run:
    $ python tools/study.py --output output/study/slower SOLVER.BASE_LR 0.0002
"""

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # projects/ is not installed
#: scale -> its report
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
    add_run_options(parser, "output/study/SCALE", "docs/results.md, or docs/results_gpu.md for --scale gpu")
    args = parser.parse_args(argv)

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: run(args), interrupted="interrupted; the same command resumes.")


def run(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.torchrun import check_one_process

    check_one_process("tools/study.py")
    from projects.study.options import locate
    from projects.study.paper import study_topic
    from projects.study.report import run_topic

    run_topic(
        study_topic(args.scale),
        ["python", "tools/study.py", "--scale", args.scale],
        *locate(args, f"output/study/{args.scale}", REPOSITORY / RESULTS[args.scale]),
        only=args.only,
        report_only=args.report_only,
        opts=args.opts,
    )


if __name__ == "__main__":
    sys.exit(main())
