"""Cut the tiles of DFC2023 track 2 and their labels to the size that models are trained on, or check a download.

Examples:
    python datasets/prepare_dfc2023.py --input /data/DFC2023 --check
    python datasets/prepare_dfc2023.py --input /data/DFC2023 --output datasets/dfc2023
"""

import argparse
import sys

from imrsf_d2.commands.parsing import add_num_workers, command_parser


def tile_size(text: str) -> int | None:
    if text == "keep":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}, expected pixels, e.g. 256, or keep")


def main(argv: list[str] | None = None) -> int:
    parser = command_parser("prepare dfc2023", __doc__)
    parser.add_argument("--input", required=True, metavar="DIR", help="folder that holds track2; it is not changed")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--output", metavar="DIR", help="folder to write track2 to; the same command resumes an interrupted run"
    )
    action.add_argument(
        "--check",
        action="store_true",
        help="list everything that is wrong, without writing anything; the exit code is 1 if anything is",
    )
    parser.add_argument(
        "--tile-size",
        type=tile_size,
        default=argparse.SUPPRESS,
        metavar="PX",
        help="side of a crop, which must divide the side of the tiles, 512 (default: 256); keep = whole tiles",
    )
    add_num_workers(parser)
    args = parser.parse_args(argv)
    if args.check and "tile_size" in args:
        parser.error("--check reads whole tiles: leave out --tile-size")
    options = {"num_workers": args.num_workers, "progress": sys.stderr.isatty()}
    from imrsf_d2.utils.errors import exit_code

    return exit_code(
        lambda: check(args.input, options) if args.check else prepare(args, options),
        interrupted="interrupted; the same command continues from here.",
    )


def check(folder: str, options: dict) -> int:
    from imrsf_d2.preparation.dfc2023.checks import check_dfc2023

    findings = check_dfc2023(folder, **options)
    print(findings)
    return 1 if findings.problems else 0


def prepare(args: argparse.Namespace, options: dict) -> None:
    from imrsf_d2.preparation.dfc2023.prepare import prepare_dfc2023

    outcome = prepare_dfc2023(args.input, args.output, tile_size=getattr(args, "tile_size", 256), **options)
    print(outcome.summary)
    print(
        f"{outcome.tiles} tiles are in {args.output}; {outcome.cut} of them were cut in this run."
        if outcome.cut
        else f"{args.output} already holds exactly this data; nothing to do."
    )
