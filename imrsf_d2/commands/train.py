"""Train or evaluate a model: Detectron2's command line on imrsf_d2's configs."""

from imrsf_d2.commands.parsing import add_config, add_data, add_overrides, add_processes, command_parser, take_data
from imrsf_d2.utils.startup import STARTUP

EXAMPLES = """
Examples:

Train, with the batch shared among two GPUs:
    $ python tools/train_net.py --config-file configs/dfc2023_instance.yaml --num-gpus 2 OUTPUT_DIR output/instance

The same under torchrun:
    $ torchrun --nproc_per_node 2 tools/train_net.py --config-file configs/dfc2023_instance.yaml OUTPUT_DIR output/instance

On two machines, this being the first (the second has --machine-rank 1); OUTPUT_DIR is a folder that both see, and the batch is a
multiple of the four processes:
    $ python tools/train_net.py --config-file configs/dfc2023_instance.yaml --num-gpus 2 --num-machines 2 --machine-rank 0 \\
        --dist-url tcp://node0:29500 SOLVER.IMS_PER_BATCH 12 OUTPUT_DIR /shared/instance

Continue after an interruption (Ctrl-C or SIGTERM stops a run after the iteration and writes a checkpoint):
    $ python tools/train_net.py --config-file configs/dfc2023_instance.yaml --resume OUTPUT_DIR output/instance

Score a checkpoint with two of the three sensors:
    $ python tools/train_net.py --config-file configs/dfc2023_instance.yaml --eval-only \\
        MODEL.WEIGHTS output/instance/model_final.pth INPUT.TEST_MODALITIES "['rgb', 'dsm']"

Pre-train without labels, then fine-tune from its final weights:
    $ python tools/train_net.py --config-file configs/pretrain/dfc2023_gc.yaml
    $ python tools/train_net.py --config-file configs/finetune/dfc2023_instance_gc.yaml OUTPUT_DIR output/finetune_gc

Train on your own tiles, which a dataset.yaml describes:
    $ python tools/train_net.py --data /data/mine OUTPUT_DIR output/mine

Other datasets are looked for in $DETECTRON2_DATASETS (default: datasets).
"""


def parse(argv):
    """Detectron2's arguments, without the seconds that importing its parser takes."""
    parser = command_parser("train", __doc__, EXAMPLES)
    add_config(parser, "a path, or the name of a packaged config", required=False)
    add_data(parser)
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint in OUTPUT_DIR, if there is one"
    )
    parser.add_argument("--eval-only", action="store_true", help="score MODEL.WEIGHTS on DATASETS.TEST, train nothing")
    add_processes(parser)
    add_overrides(parser)
    return parser.parse_args(argv)


def train(args):
    take_data(args, training=not args.eval_only)
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.launching import launch_run
    from imrsf_d2.engine.running import run

    STARTUP.mark("imports")
    launch_run(args, run)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)  # before anything heavy is loaded: --help is quick
    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: train(args))
