"""List everything that is wrong with a dataset: files, places, bands, values, labels and splits, in one pass."""

import argparse
import json
import sys
from pathlib import Path

from imrsf_d2.commands.parsing import command_parser

EXAMPLES = """
Examples:

All splits of a folder with a dataset.yaml:
    $ python tools/check_dataset.py --data /data/mine

The datasets of a config (DATASETS.TRAIN and DATASETS.TEST) and whether they fit its model:
    $ python tools/check_dataset.py --config-file configs/dfc2023_instance.yaml

One registered dataset, with the bands that its files have, as no config says what they should be:
    $ python tools/check_dataset.py --dataset quadruplets_train

The exit code is 1 if there are problems, 0 if there is nothing or remarks alone. Nothing is written, except for --json.
"""


def main(argv: list[str] | None = None) -> int:
    parser = command_parser("check", __doc__, EXAMPLES)
    parser.add_argument("--data", metavar="DIR", help="a folder with a dataset.yaml; all of its splits are checked")
    parser.add_argument("--config-file", metavar="FILE", help="names datasets and the model's modalities")
    parser.add_argument(
        "--dataset",
        action="append",
        metavar="NAME",
        help="a registered dataset, or DIR/dataset.yaml:SPLIT, instead of all; may be given several times",
    )
    parser.add_argument("--json", metavar="FILE", help="also write all findings there, every file of them")
    parser.add_argument("--num-workers", type=int, default=0, metavar="N", help="processes; 0 = all cores")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="override keys of the config")
    args = parser.parse_args(argv)
    if args.num_workers < 0:
        parser.error(f"--num-workers is {args.num_workers}, expected 0 or more")
    if not (args.data or args.config_file or args.dataset):
        parser.error("nothing to check: expected --data, --config-file or --dataset")
    if args.opts and not args.config_file:
        parser.error(f"{' '.join(args.opts)}: KEY VALUE pairs need a --config-file")

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: check(args))


def check(args: argparse.Namespace) -> int:
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.data.check.examination import examine
    from imrsf_d2.data.check.report import as_data, as_text
    from imrsf_d2.utils.atomic import write_text

    examination = examine(make_plan(args), args.num_workers, sys.stderr.isatty())
    print(as_text(examination))
    if args.json:
        write_text(Path(args.json), json.dumps(as_data(examination), indent=1) + "\n")
    return 1 if examination.problems else 0


def make_plan(args: argparse.Namespace):
    from imrsf_d2.data.check.plan import plan_of_config, plan_of_folder, plan_of_names
    from imrsf_d2.engine.configuration import load_config

    cfg = load_config(args.config_file, args.opts) if args.config_file else None
    if args.dataset:
        return plan_of_names(args.dataset, cfg)
    if args.data:
        return plan_of_folder(args.data, cfg)
    return plan_of_config(cfg)
