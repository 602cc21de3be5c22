#!/usr/bin/env python
"""Show the method on this machine in minutes: synthetic data, a short CPU training, every subset of the sensors.

Example:
    python tools/demo.py --output output/demo

Run again, it keeps what is finished and continues what is not. KEY VALUE pairs change the config, e.g.
    python tools/demo.py --output output/longer SOLVER.MAX_ITER 3000 SOLVER.STEPS "(2700, 2850)"
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "demo"
NUM_TRAIN, NUM_VAL, SIZE, SEED = 200, 50, 128, 0


def dfc2023():
    from imrsf_d2.data.datasets.dfc2023 import TRAIN_CITIES, VAL_CITIES
    from imrsf_d2.data.synthetic.dfc2023 import write_dfc2023
    from imrsf_d2.engine.demo import DemoData

    write = partial(write_dfc2023, num_train=NUM_TRAIN, num_val=NUM_VAL, size=SIZE, seed=SEED,
                    train_cities=TRAIN_CITIES, val_cities=VAL_CITIES, overwrite=True, progress=sys.stderr.isatty())
    return DemoData("dfc2023", write, f"{NUM_TRAIN} training and {NUM_VAL} validation tiles of {SIZE} px in the layout "
                                      "of DFC2023 track 2, of other cities each.")


TASKS = {"instance": ("dfc2023_instance.yaml", dfc2023)}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(TASKS), default="instance", help="what to segment")
    parser.add_argument("--output", default="output/demo", metavar="DIR", help="folder to write below")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="changes to the config")
    args = parser.parse_args(argv)

    # Before torch is loaded: its threads spin only briefly while they wait for each other. With the default, on two
    # cores that other processes use too, an iteration took several times longer; on idle cores it is as fast.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    from imrsf_d2.upstream import UpstreamError, prepare

    config, data = TASKS[args.task]
    try:
        prepare()
        from imrsf_d2.engine.demo import run_demo

        run_demo(CONFIGS / config, data(), args.output, args.opts)
    except (UpstreamError, ValueError, FileNotFoundError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
