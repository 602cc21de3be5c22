#!/usr/bin/env python
"""Which model is best with all sensors and without some? Train them at equal cost and compare them on test data.

Examples:

All models on buildings as instances, on two cores; repeated, the command keeps finished runs and resumes the others:
    $ python tools/study.py

Another task, or a part of it, e.g. one model and one run of another; the report is about all runs that are finished:
    $ python tools/study.py --task semantic --only mean --only multivit-seed1-data0

Only the report, from the logs of the runs:
    $ python tools/study.py --report-only

The paper's models alone on one dataset, and a larger scale for a GPU:
    $ python tools/study.py --task paper --scale gpu

KEY VALUE pairs change the config of every run:
    $ python tools/study.py --output output/study/slower SOLVER.BASE_LR 0.0002
"""

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # projects/ is not installed
TASKS = ("instance", "semantic", "land_cover", "paper")
#: scale -> the report of the task "paper"
RESULTS = {"cpu": "docs/results_paper.md", "gpu": "docs/results_gpu.md"}


def main(argv: list[str] | None = None) -> int:
    from projects.study.options import add_run_options

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default=TASKS[0], help=f"what is compared (default: {TASKS[0]})")
    parser.add_argument(
        "--scale",
        choices=list(RESULTS),
        default="cpu",
        help="of --task paper: a small model for two cores (default), or a larger one on more data for a GPU",
    )
    parser.add_argument(
        "--lanes",
        type=int,
        default=2,
        metavar="N",
        help="runs side by side, each in a process with one thread (default: 2); 0 does them one by one in this process",
    )
    parser.add_argument("--runs-only", action="store_true", help=argparse.SUPPRESS)  # what the process of a lane is told
    add_run_options(parser, "output/study/TASK", "docs/results.md, or that of the other tasks")
    args = parser.parse_args(argv)

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: run(args), interrupted="interrupted; the same command resumes.")


def run(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.torchrun import check_one_process

    check_one_process("tools/study.py")
    if args.task == "paper":
        run_paper(args)
        return
    from projects.study.fair import STUDIES
    from projects.study.options import locate
    from projects.study.running import run_study

    study = STUDIES[args.task]
    output, results = locate(args, f"output/study/{args.task}", REPOSITORY / study.results)
    run_study(
        study,
        ["python", "tools/study.py", "--task", args.task],
        output,
        results,
        lanes=args.lanes,
        only=args.only,
        report_only=args.report_only,
        runs_only=args.runs_only,
        opts=args.opts,
    )


def run_paper(args):
    from projects.study.options import locate
    from projects.study.paper import study_topic
    from projects.study.report import run_topic

    run_topic(
        study_topic(args.scale),
        ["python", "tools/study.py", "--task", "paper", "--scale", args.scale],
        *locate(args, f"output/study/paper_{args.scale}", REPOSITORY / RESULTS[args.scale]),
        only=args.only,
        report_only=args.report_only,
        opts=args.opts,
    )


if __name__ == "__main__":
    sys.exit(main())
