"""Score one model with every subset of its sensors: the table, what each sensor is worth, charts, importance maps."""

import argparse

from imrsf_d2.commands.parsing import command_parser

EXAMPLES = """
Examples:

All subsets, on two GPUs:
    $ python tools/evaluate_modalities.py --config-file configs/dfc2023_instance.yaml --output output/modalities \\
        --num-gpus 2 MODEL.WEIGHTS output/instance/model_final.pth

Two of them, and maps of which sensor the model listens to where:
    $ python tools/evaluate_modalities.py --config-file configs/dfc2023_instance.yaml --output output/modalities \\
        --subsets rgb+dsm,sar --importance MODEL.WEIGHTS output/instance/model_final.pth

An interrupted run goes on where it was when the same command is given again; subsets that are finished are kept. A
folder with the scores of other weights, data or another config is left alone. Datasets are looked for in
$DETECTRON2_DATASETS (default: datasets).
"""


def parse(argv):
    parser = command_parser("subsets", __doc__, EXAMPLES)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="of the model; names the dataset, too")
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="gets modalities.{md,json,csv}, charts, and what each subset found"
    )
    parser.add_argument(
        "--subsets", metavar="A+B,C", help="e.g. rgb+dsm,sar (default: all of the sensors that the dataset has)"
    )
    parser.add_argument(
        "--num-gpus",
        type=int,
        metavar="N",
        help="processes, one per GPU; with MODEL.DEVICE cpu they share the cores (default: 1, or as many "
        "as torchrun started)",
    )
    parser.add_argument(
        "--subsets-per-pass",
        type=int,
        default=0,
        metavar="N",
        help="at most so many subsets share a pass over the images; an interruption loses the pass, "
        "and memory holds its predictions (default: 0, all)",
    )
    parser.add_argument(
        "--resamples",
        type=int,
        default=200,
        metavar="N",
        help="of the bootstrap over images for 95 %% intervals; 0 for none (default: 200)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    parser.add_argument(
        "--importance",
        action="store_true",
        help="also write the weights of the sensors in the fusion tokens as GeoTIFFs and pictures",
    )
    parser.add_argument("--importance-images", type=int, default=8, metavar="N", help="of so many images (default: 8)")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="changes to the config, MODEL.WEIGHTS among them"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)  # before anything heavy is loaded: --help is quick
    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: evaluate(args), interrupted="interrupted; the same command goes on from here.")


def evaluate(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.modality_evaluation import evaluate_modalities
    from imrsf_d2.engine.torchrun import is_first_process

    report = evaluate_modalities(args)
    if is_first_process():
        print(f"\n{report.read_text(encoding='utf-8')}\nReport: {report}", flush=True)
