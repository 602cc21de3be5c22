#!/usr/bin/env python
"""Does pre-training help when few tiles are labeled? Pre-train in five ways, train one model from each and from random weights,
compare them.

Examples:

Everything, in some hours on two cores; repeated, the command keeps finished runs and resumes the others:
    $ python tools/pretrain_demo.py

A part of it, e.g. one pre-training run, or one run with the pre-training run it starts from; the report is about all runs that
are finished:
    $ python tools/pretrain_demo.py --only g --only finetune_gc-seed1

Only the report, from the logs of the runs:
    $ python tools/pretrain_demo.py --report-only

KEY VALUE pairs change the config of every run, e.g. the share of the tiles that are labeled:
    $ python tools/pretrain_demo.py --output output/pretrain_demo/quarter DATALOADER.TRAIN_SHARE 0.25
"""

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # projects/ is not installed
OUTPUT, RESULTS = "output/pretrain_demo", "docs/results_pretraining.md"


def main(argv: list[str] | None = None) -> int:
    from projects.study.options import add_run_options

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_options(parser, OUTPUT, RESULTS)
    args = parser.parse_args(argv)

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: run(args), interrupted="interrupted; the same command resumes.")


def run(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.torchrun import check_one_process

    check_one_process("tools/pretrain_demo.py")
    from projects.study.options import locate
    from projects.study.pretraining import pretraining_topic
    from projects.study.report import run_topic

    run_topic(
        pretraining_topic(),
        ["python", "tools/pretrain_demo.py"],
        *locate(args, OUTPUT, REPOSITORY / RESULTS),
        only=args.only,
        report_only=args.report_only,
        opts=args.opts,
    )


if __name__ == "__main__":
    sys.exit(main())
