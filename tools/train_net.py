#!/usr/bin/env python
"""Train or evaluate a model: Detectron2's command line on imrsf_d2's configs."""

import sys

EXAMPLES = """
Examples:

Train, with the batch shared among two GPUs:
    $ python tools/train_net.py --config-file configs/dfc2023_instance.yaml --num-gpus 2 OUTPUT_DIR output/instance

The same under torchrun:
    $ torchrun --nproc_per_node 2 tools/train_net.py --config-file configs/dfc2023_instance.yaml OUTPUT_DIR output/instance

Go on after an interruption; Ctrl-C or SIGTERM ends a training after the iteration, with a checkpoint:
    $ python tools/train_net.py --config-file configs/dfc2023_instance.yaml --resume OUTPUT_DIR output/instance

Score a checkpoint with two of the three sensors:
    $ python tools/train_net.py --config-file configs/dfc2023_instance.yaml --eval-only \\
        MODEL.WEIGHTS output/instance/model_final.pth INPUT.TEST_MODALITIES "['rgb', 'dsm']"

Pre-train without labels, then fine-tune from what that ended with:
    $ python tools/train_net.py --config-file configs/pretrain/dfc2023_gc.yaml
    $ python tools/train_net.py --config-file configs/finetune/dfc2023_instance_gc.yaml OUTPUT_DIR output/finetune_gc

Data sets are looked for in $DETECTRON2_DATASETS (default: datasets).
"""


def train(argv):
    from imrsf_d2.upstream import prepare

    prepare()
    from detectron2.engine import default_argument_parser

    from imrsf_d2.engine.launching import launch_run
    from imrsf_d2.engine.running import run

    parser = default_argument_parser(epilog=EXAMPLES)
    parser.set_defaults(num_gpus=None)  # one, or as many as torchrun started
    launch_run(parser.parse_args(argv), run)


def main(argv: list[str] | None = None) -> int:
    from imrsf_d2.errors import exit_code

    return exit_code(lambda: train(argv))


if __name__ == "__main__":
    sys.exit(main())
