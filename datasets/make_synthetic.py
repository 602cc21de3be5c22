#!/usr/bin/env python
"""Write a small synthetic data set in the layout of a real one.

Example:
    python datasets/make_synthetic.py --layout dfc2023 --output datasets/dfc2023_synthetic \
        --num-train 200 --num-val 50 --size 128 --seed 0
"""

import argparse
import sys


def make_dfc2023(args: argparse.Namespace) -> bool:
    from imrsf_d2.data.datasets.dfc2023 import TRAIN_CITIES, VAL_CITIES
    from imrsf_d2.data.synthetic.dfc2023 import write_dfc2023

    return write_dfc2023(args.output, num_train=args.num_train, num_val=args.num_val, size=args.size, seed=args.seed,
                         train_cities=TRAIN_CITIES, val_cities=VAL_CITIES, num_workers=args.num_workers,
                         overwrite=args.overwrite, progress=sys.stderr.isatty())


LAYOUTS = {"dfc2023": make_dfc2023}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", choices=sorted(LAYOUTS), required=True, help="which data set to imitate")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write below")
    parser.add_argument("--num-train", type=int, default=200, metavar="N", help="tiles in training cities")
    parser.add_argument("--num-val", type=int, default=50, metavar="N", help="tiles in validation cities")
    parser.add_argument("--size", type=int, default=256, metavar="S", help="tile side in pixels (a multiple of 32)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="the same seed gives the same bytes")
    parser.add_argument("--num-workers", type=int, default=0, metavar="N", help="processes; 0 = all cores")
    parser.add_argument("--overwrite", action="store_true", help="replace synthetic data of other parameters in DIR")
    args = parser.parse_args(argv)
    try:
        written = LAYOUTS[args.layout](args)
    except (ValueError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.num_train} + {args.num_val} tiles written to {args.output}" if written
          else f"{args.output} already holds exactly this data; nothing to do.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
