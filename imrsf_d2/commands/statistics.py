"""Measure the mean and standard deviation of every band over a training set's valid pixels, as YAML to paste."""

import sys

from imrsf_d2.commands.parsing import add_config, add_data, add_num_workers, add_overrides, command_parser, take_data

EXAMPLES = """
Examples:

The datasets in DATASETS.TRAIN:
    $ python tools/compute_statistics.py --config-file configs/dfc2023_instance.yaml

The training tiles of a dataset.yaml; statistics.yaml beside it then counts wherever the dataset is used:
    $ python tools/compute_statistics.py --data /data/mine --write

Another dataset, with another CLIP of the radar (values are measured after TRANSFORM and CLIP):
    $ python tools/compute_statistics.py --config-file configs/dfc2023_instance.yaml --dataset dfc2023_track2_val \\
        MODEL.IMRSF.MODALITIES "[{'NAME': 'sar', 'TRANSFORM': 'db', 'CLIP': [-25, 0]}]"

Other datasets are expected in $DETECTRON2_DATASETS (default: datasets).
"""


def main(argv: list[str] | None = None) -> int:
    parser = command_parser("statistics", __doc__, EXAMPLES)
    add_config(parser, "names the dataset and its modalities", required=False)
    add_data(parser)
    parser.add_argument("--dataset", metavar="NAME", help="a registered dataset (default: those in DATASETS.TRAIN)")
    parser.add_argument(
        "--write",
        action="store_true",
        help="with --data: write statistics.yaml beside the dataset.yaml, which then has them",
    )
    add_num_workers(parser)
    add_overrides(parser)
    args = parser.parse_args(argv)
    if args.write and (args.data is None or args.config_file or args.dataset or args.opts):
        parser.error("--write measures what a dataset.yaml says: give it with --data alone")

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: compute(args))


def compute(args):
    take_data(args, training=True)
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.data.statistics import dataset_statistics, modalities_yaml
    from imrsf_d2.data.statistics_file import write_statistics
    from imrsf_d2.engine.configuration import load_config
    from imrsf_d2.modalities import ModalitySet

    cfg = load_config(args.config_file, args.opts)
    names = [args.dataset] if args.dataset else list(cfg.DATASETS.TRAIN)
    statistics = dataset_statistics(names, ModalitySet.from_config(cfg), args.num_workers, sys.stderr.isatty())
    for message in (message for found in statistics.values() for message in found.unreadable):
        print(f"left out: {message}", file=sys.stderr)
    if args.write:
        path, text = write_statistics(names[0], statistics)
        print(f"{text}Written: {path}")
        return
    print(f"# {', '.join(names)}")
    print(modalities_yaml(cfg.MODEL.IMRSF.MODALITIES, statistics), end="")
