#!/usr/bin/env python
"""Does pre-training help when few tiles are labeled? Two pre-training runs, one model from several starts, the report.

Examples:

Everything, in about an hour on two cores; run again, it keeps what is finished and continues what is not:
    $ python tools/pretrain_demo.py

Some of it, e.g. one pre-training run, or one run and the pre-training that it starts from, and the report of all there is:
    $ python tools/pretrain_demo.py --only g --only finetune_gc-seed1

The report again, from the logs of the runs:
    $ python tools/pretrain_demo.py --report-only

KEY VALUE pairs change the config of every run, e.g. the share of the tiles that are labeled:
    $ python tools/pretrain_demo.py --output output/pretrain_demo/quarter DATALOADER.TRAIN_SHARE 0.25
"""

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # where projects/ lies, which is not installed
OUTPUT, RESULTS = "output/pretrain_demo", "docs/results.md"


def main(argv: list[str] | None = None) -> int:
    from projects.study.options import add_run_options

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_options(parser, OUTPUT, RESULTS)
    args = parser.parse_args(argv)

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: run(args), interrupted="interrupted; the same command goes on from here.")


def run(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.torchrun import check_one_process

    check_one_process("tools/pretrain_demo.py")
    from projects.study.options import locate
    from projects.study.pretraining import run_pretraining_demo

    output, results = locate(args, OUTPUT, REPOSITORY / RESULTS)
    run_pretraining_demo(
        REPOSITORY / "projects/study/configs/pretrain_demo",
        output,
        results,
        only=args.only,
        report_only=args.report_only,
        opts=args.opts,
    )


if __name__ == "__main__":
    sys.exit(main())
