"""Write a small synthetic dataset in the layout of a real one."""

import sys

from imrsf_d2.commands.parsing import command_parser

EXAMPLES = """
Examples:
    $ python datasets/make_synthetic.py --layout dfc2023 --output datasets/dfc2023_synthetic \\
        --num-train 200 --num-val 50 --size 128 --seed 0
    $ python datasets/make_synthetic.py --layout quadruplets --output datasets/quadruplets_synthetic \\
        --num-train 200 --num-val 50 --size 128 --seed 0
"""
LAYOUTS = ("dfc2023", "quadruplets")


def main(argv: list[str] | None = None) -> int:
    parser = command_parser("synthetic", __doc__, EXAMPLES)
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="which dataset to imitate")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--num-train", type=int, default=200, metavar="N", help="number of tiles in training cities")
    parser.add_argument("--num-val", type=int, default=50, metavar="N", help="number of tiles in validation cities")
    parser.add_argument("--size", type=int, default=256, metavar="S", help="tile side in pixels (a multiple of 32)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="the same seed gives the same bytes")
    parser.add_argument("--num-workers", type=int, default=0, metavar="N", help="processes; 0 = all cores")
    parser.add_argument("--overwrite", action="store_true", help="replace synthetic data made with other parameters")
    args = parser.parse_args(argv)
    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: write(args))


def write(args):
    from imrsf_d2.synthetic.layouts import write_layout

    written = write_layout(progress=sys.stderr.isatty(), **vars(args))
    print(
        f"{args.num_train} + {args.num_val} tiles written to {args.output}"
        if written
        else f"{args.output} already holds exactly this data; nothing to do."
    )
