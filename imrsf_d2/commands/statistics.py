"""Measure the mean and standard deviation of every band over a training set's valid pixels, as YAML to paste."""

import argparse
import sys

from imrsf_d2.commands.parsing import command_parser

EXAMPLES = """
Examples:

The datasets in DATASETS.TRAIN:
    $ python tools/compute_statistics.py --config-file configs/dfc2023_instance.yaml

Another dataset, with another CLIP of the radar (values are measured after TRANSFORM and CLIP):
    $ python tools/compute_statistics.py --config-file configs/dfc2023_instance.yaml --dataset dfc2023_track2_val \\
        MODEL.IMRSF.MODALITIES "[{'NAME': 'sar', 'TRANSFORM': 'db', 'CLIP': [-25, 0]}]"

Datasets are expected in $DETECTRON2_DATASETS (default: datasets).
"""


def main(argv: list[str] | None = None) -> int:
    parser = command_parser("statistics", __doc__, EXAMPLES)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="names the dataset and its modalities")
    parser.add_argument("--dataset", metavar="NAME", help="a registered dataset (default: those in DATASETS.TRAIN)")
    parser.add_argument("--num-workers", type=int, default=0, metavar="N", help="processes; 0 = all cores")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="override keys of the config")
    args = parser.parse_args(argv)
    if args.num_workers < 0:
        parser.error(f"--num-workers is {args.num_workers}, expected 0 or more")

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: compute(args))


def compute(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.data.statistics import dataset_statistics, modalities_yaml
    from imrsf_d2.engine.configuration import load_config
    from imrsf_d2.modalities import ModalitySet

    cfg = load_config(args.config_file, args.opts)
    names = [args.dataset] if args.dataset else list(cfg.DATASETS.TRAIN)
    statistics = dataset_statistics(names, ModalitySet.from_config(cfg), args.num_workers, sys.stderr.isatty())
    for message in (message for found in statistics.values() for message in found.unreadable):
        print(f"left out: {message}", file=sys.stderr)
    print(f"# {', '.join(names)}")
    print(modalities_yaml(cfg.MODEL.IMRSF.MODALITIES, statistics), end="")
