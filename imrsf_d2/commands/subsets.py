"""Evaluate one model with every subset of its sensors: scores, contribution of each sensor, a page to play with."""

from imrsf_d2.commands.parsing import add_config, add_data, add_overrides, add_processes, command_parser, take_data

EXAMPLES = """
Examples:

All subsets, on two GPUs:
    $ python tools/evaluate_modalities.py --config-file configs/dfc2023_instance.yaml --output output/modalities \\
        --num-gpus 2 MODEL.WEIGHTS output/instance/model_final.pth

Two subsets, and maps of the weight of each sensor in the model's features:
    $ python tools/evaluate_modalities.py --config-file configs/dfc2023_instance.yaml --output output/modalities \\
        --subsets rgb+dsm,sar --importance MODEL.WEIGHTS output/instance/model_final.pth

After an interruption, the same command resumes the evaluation; finished subsets are kept. An output folder with the
scores of other weights, other data or another config is not touched. Datasets are looked for in $DETECTRON2_DATASETS
(default: datasets).
"""


def parse(argv):
    parser = command_parser("subsets", __doc__, EXAMPLES)
    add_config(parser, "config of the model and of the dataset", required=False)
    add_data(parser)
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="folder for report.html, modalities.{md,json,csv}, charts, and the predictions for each subset",
    )
    parser.add_argument(
        "--subsets",
        metavar="A+B,C",
        help="subsets to evaluate, e.g. rgb+dsm,sar (default: all subsets of the sensors that the dataset has)",
    )
    add_processes(parser)
    parser.add_argument(
        "--subsets-per-pass",
        type=int,
        default=0,
        metavar="N",
        help="evaluate at most N subsets in one pass over the images; fewer need less memory, and less is lost if the "
        "command is interrupted (default: 0, all in one pass)",
    )
    parser.add_argument(
        "--resamples",
        type=int,
        default=200,
        metavar="N",
        help="number of bootstrap resamples for 95 %% intervals; 0 for no intervals (default: 200)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the bootstrap (default: 0)")
    parser.add_argument(
        "--tiles",
        type=int,
        default=24,
        metavar="N",
        help="number of tiles that report.html shows, with the predictions from every subset; 0 for none (default: 24)",
    )
    parser.add_argument(
        "--importance",
        action="store_true",
        help="also write the weights of the sensors in the fusion tokens, as GeoTIFFs and figures",
    )
    parser.add_argument(
        "--importance-images", type=int, default=8, metavar="N", help="number of images with such maps (default: 8)"
    )
    add_overrides(parser, "changes to the config, among them MODEL.WEIGHTS")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)  # before anything heavy is loaded: --help is quick
    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: evaluate(args), interrupted="interrupted; the same command goes on from here.")


def evaluate(args):
    take_data(args, training=False)
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.modality_evaluation import evaluate_modalities

    output = evaluate_modalities(args)
    if output is not None:
        print(f"\n{output.table}\n\nReport: {output.report}\nPage:   {output.page}", flush=True)
