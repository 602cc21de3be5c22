"""Draw the inputs of a model in training or at test time, the ground truth, and the predictions of a checkpoint."""

from pathlib import Path

from imrsf_d2.commands.parsing import add_config, add_data, add_overrides, command_parser, take_data
from imrsf_d2.utils.errors import InputError

EXAMPLES = """
Examples:

The first 16 samples of the training stream, after augmentation and modality dropout:
    $ python tools/visualize.py --config-file configs/dfc2023_instance.yaml --output output/look --number 16

The predictions of a checkpoint for test tiles, from all sensors and from two of them:
    $ python tools/visualize.py --config-file configs/dfc2023_instance.yaml --output output/look --split test \\
        --subset sar+rgb+dsm --subset rgb+dsm MODEL.WEIGHTS output/instance/model_final.pth

Without MODEL.WEIGHTS, --split test shows the inputs and the ground truth; --split train with the config of a
pre-training run shows only the inputs. Datasets are looked for in $DETECTRON2_DATASETS (default: datasets).
"""


def parse(argv):
    parser = command_parser("visualize", __doc__, EXAMPLES)
    add_config(parser, "config of the model and of the dataset", required=False)
    add_data(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the figures")
    parser.add_argument(
        "--split",
        choices=("train", "test"),
        default="train",
        help="DATASETS.TRAIN as it is used in training (default), or DATASETS.TEST",
    )
    parser.add_argument("--number", type=int, default=8, metavar="N", help="number of samples (default: 8)")
    parser.add_argument(
        "--subset",
        action="append",
        metavar="A+B",
        help="with --split test: the modalities to use, e.g. rgb+dsm; give it several times to compare subsets (default: "
        "INPUT.TEST_MODALITIES, which is all unless set)",
    )
    add_overrides(parser)
    return parser.parse_args(argv)


def load_model(cfg, args):
    from imrsf_d2.engine.checkpointer import Checkpointer
    from imrsf_d2.engine.configuration import setup_run
    from imrsf_d2.engine.trainer import Trainer

    setup_run(cfg, args)
    model = Trainer.build_model(cfg)
    Checkpointer(model, require_all=True).load(cfg.MODEL.WEIGHTS)
    return model


def draw(args):
    take_data(args, training=args.split == "train")
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.torchrun import check_one_process

    check_one_process("tools/visualize.py")
    from imrsf_d2.engine.configuration import is_pretraining, load_config
    from imrsf_d2.modalities import ModalitySet
    from imrsf_d2.visualization import draw_test_sheets, draw_training_sheets

    if args.number < 1:
        raise InputError(f"--number is {args.number}, expected 1 or more.")
    if args.subset and args.split == "train":
        raise InputError("--subset needs --split test; in training, subsets are drawn at random (INPUT.MODALITY_DROPOUT).")
    # The log and the config are written to the folder of the figures, not to that of the training run.
    cfg = load_config(args.config_file, [*args.opts, "OUTPUT_DIR", args.output])
    modalities = ModalitySet.from_config(cfg)
    subsets = [modalities.check_subset(subset.split("+"), "--subset") for subset in args.subset or ()]
    Path(args.output).mkdir(parents=True, exist_ok=True)
    if args.split == "train":
        return draw_training_sheets(cfg, args.output, args.number)
    if cfg.MODEL.WEIGHTS and is_pretraining(cfg):
        raise InputError(
            f"MODEL.WEIGHTS is {cfg.MODEL.WEIGHTS!r}, expected none: a pre-training model predicts nothing that could be "
            "shown beside the ground truth. Its reconstructions are drawn during training, in its OUTPUT_DIR."
        )
    if not cfg.MODEL.WEIGHTS:
        print("MODEL.WEIGHTS is empty: only the inputs and the ground truth are drawn.", flush=True)
    model = load_model(cfg, args) if cfg.MODEL.WEIGHTS else None
    subsets = subsets or [modalities.check_subset(cfg.INPUT.TEST_MODALITIES, "INPUT.TEST_MODALITIES")]
    return draw_test_sheets(cfg, model, subsets, args.output, args.number)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)  # before anything heavy is loaded: --help is quick
    from imrsf_d2.utils.errors import exit_code

    def command():
        for path in draw(args):
            print(path, flush=True)

    return exit_code(command)
