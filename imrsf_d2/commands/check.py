"""List everything that is wrong with a dataset: files, places, bands, values, labels and splits, in one pass."""

import argparse
import json
import sys
from pathlib import Path

from imrsf_d2.commands.parsing import add_config, add_num_workers, add_overrides, command_parser

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
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of a dataset.yaml; all of its splits are checked, without --config-file for the packaged config of its task",
    )
    add_config(parser, "names datasets and the model's modalities", required=False)
    parser.add_argument(
        "--dataset",
        action="append",
        metavar="NAME",
        help="a registered dataset, or DIR/dataset.yaml:SPLIT, instead of all; may be given several times",
    )
    parser.add_argument("--json", metavar="FILE", help="also write all findings there, every file of them")
    add_num_workers(parser)
    add_overrides(parser)
    args = parser.parse_args(argv)
    if not (args.data or args.config_file or args.dataset):
        parser.error("nothing to check: expected --data, --config-file or --dataset")
    if args.data and args.dataset:
        parser.error("--data checks all splits: give --data or --dataset")
    if args.opts and not (args.data or args.config_file):
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
    from imrsf_d2.data.check.plan import plan_of_config, plan_of_names, split_roles
    from imrsf_d2.data.dataset_file import DATASET_FILE
    from imrsf_d2.data.dataset_yaml import read_dataset_file
    from imrsf_d2.engine.configuration import load_config

    config_file, opts = args.config_file, args.opts
    crop_named = bool(config_file) or any(key.startswith("INPUT.CROP.") for key in opts[::2])
    if args.data:
        path = Path(args.data).expanduser().absolute()
        file = read_dataset_file(path / DATASET_FILE if path.is_dir() else path)
        trained, tested = split_roles([f"{file.path}:{split}" for split in file.splits])
        config_file = config_file or file.task  # the packaged configs for any dataset are called like their tasks
        opts = ["DATASETS.TRAIN", repr(trained), "DATASETS.TEST", repr(tested), *opts]
    cfg = load_config(config_file, opts) if config_file else None
    return plan_of_names(args.dataset, cfg) if args.dataset else plan_of_config(cfg, crop_named)
