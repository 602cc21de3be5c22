"""Show the method on this machine in minutes: synthetic data, a short training run on the CPU, every subset of the sensors,
the map of a scene.

Example:
    python tools/demo.py --output output/demo

Run again, it keeps what is finished and continues the rest. KEY VALUE pairs change the config, e.g.
    python tools/demo.py --output output/longer SOLVER.MAX_ITER 3000 SOLVER.STEPS "(2700, 2850)"
"""

import math
import sys
from functools import partial

from imrsf_d2.commands.parsing import add_overrides, command_parser

NUM_TRAIN, NUM_VAL, SIZE, SEED = 200, 50, 128, 0
SCENE_SIZE = 640

#: task -> config, layout of the data, folder to write below
TASKS = {
    "instance": ("demo/dfc2023_instance", "dfc2023", "output/demo"),
    "semantic": ("demo/dfc2023_semantic", "dfc2023", "output/demo-semantic"),
    "lulc": ("demo/quadruplets_lulc", "quadruplets", "output/demo-lulc"),
}


def main(argv: list[str] | None = None) -> int:
    parser = command_parser("demo", __doc__)
    parser.add_argument(
        "--task",
        choices=list(TASKS),
        default="instance",
        help="building instances (default), buildings as a label map, or land cover",
    )
    parser.add_argument("--output", metavar="DIR", help="folder to write below (default: output/demo, or output/demo-TASK)")
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="on a slow machine, train fewer iterations to end within N minutes; 0 for no limit (default: 15, or none if "
        "SOLVER.MAX_ITER is given)",
    )
    add_overrides(parser)
    args = parser.parse_args(argv)
    if args.minutes is None and "SOLVER.MAX_ITER" not in args.opts:
        args.minutes = 15.0
    if args.minutes is not None and not 0 <= args.minutes < math.inf:
        parser.error(f"--minutes is {args.minutes}, expected 0 or more")

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: run(args))


def run(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.torchrun import check_one_process

    check_one_process("tools/demo.py")
    from imrsf_d2.engine.config_files import find_config
    from imrsf_d2.engine.demo import DemoData, run_demo
    from imrsf_d2.synthetic.layouts import write_layout
    from imrsf_d2.synthetic.whole_scene import write_scene

    config, layout, output = TASKS[args.task]
    write = partial(
        write_layout,
        layout,
        num_train=NUM_TRAIN,
        num_val=NUM_VAL,
        size=SIZE,
        seed=SEED,
        overwrite=True,
        progress=sys.stderr.isatty(),
    )
    data = DemoData(
        layout,
        write,
        f"{NUM_TRAIN} training and {NUM_VAL} validation tiles of {SIZE} px in the layout of {layout}, of other cities each.",
        partial(write_scene, size=SCENE_SIZE, seed=SEED, halls=0, overwrite=True) if args.task == "instance" else None,
    )
    run_demo(find_config(config), data, args.output or output, args.opts, args.minutes or None)
