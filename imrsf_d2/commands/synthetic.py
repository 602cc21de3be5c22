"""Write a small synthetic dataset in the layout of a real one, or a whole synthetic scene."""

import sys

from imrsf_d2.commands.parsing import command_parser

EXAMPLES = """
Examples:
    $ python datasets/make_synthetic.py --layout dfc2023 --output datasets/dfc2023_synthetic \\
        --num-train 200 --num-val 50 --size 128 --seed 0
    $ python datasets/make_synthetic.py --layout quadruplets --output datasets/quadruplets_synthetic \\
        --num-train 200 --num-val 50 --size 128 --seed 0

Land cover with buildings, as panoptic labels:
    $ python datasets/make_synthetic.py --layout panoptic --output datasets/land_cover_with_buildings \\
        --num-train 200 --num-val 50 --size 128 --seed 0

A town in rgb.tif, sar.tif and dsm.tif of 0.5 m, with its buildings in footprints.gpkg:
    $ python datasets/make_synthetic.py --layout scene --output datasets/scene --size 3000 --seed 0

The same town, radar in pixels of 10 m of another system, heights of its western half with holes:
    $ python datasets/make_synthetic.py --layout scene --output datasets/mixed --size 3000 --seed 0 \\
        --sensor sar:resolution=10,crs=EPSG:3857 --sensor dsm:cover=0.5,holes=12
"""
LAYOUTS = ("dfc2023", "quadruplets", "panoptic")
SCENE = "scene"
#: What a sensor of a scene can be told, and how it is read.
SENSOR_OPTIONS = {"resolution": float, "crs": str, "cover": float, "holes": int}


def main(argv: list[str] | None = None) -> int:
    parser = command_parser("synthetic", __doc__, EXAMPLES)
    parser.add_argument("--layout", choices=(*LAYOUTS, SCENE), required=True, help="which dataset to imitate, or a scene")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--num-train", type=int, metavar="N", help="number of tiles in training cities (default: 200)")
    parser.add_argument("--num-val", type=int, metavar="N", help="number of tiles in validation cities (default: 50)")
    parser.add_argument("--size", type=int, default=256, metavar="S", help="side in pixels; of tiles, a multiple of 32")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="the same seed gives the same bytes")
    parser.add_argument(
        "--num-workers", type=int, metavar="N", help="processes that write tiles; 0 = all cores (default: 0)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace synthetic data made with other parameters")
    parser.add_argument(
        "--sensor",
        action="append",
        metavar="NAME:KEY=VALUE,...",
        help="of a scene: a sensor's resolution, crs, cover (share of the scene, from the west) and number of holes",
    )
    args = parser.parse_args(argv)
    if args.layout == SCENE:
        useless = [name for name in ("num_train", "num_val", "num_workers") if getattr(args, name) is not None]
        if useless:
            parser.error(f"--{useless[0].replace('_', '-')} is for layouts of tiles; a scene is one town of --size")
    elif args.sensor:
        parser.error("--sensor is for --layout scene")
    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: write_one(args) if args.layout == SCENE else write_tiles(args))


def write_tiles(args):
    from imrsf_d2.synthetic.layouts import write_layout

    defaults = {"num_train": 200, "num_val": 50, "num_workers": 0}
    options = {name: default if getattr(args, name) is None else getattr(args, name) for name, default in defaults.items()}
    written = write_layout(
        args.layout,
        args.output,
        size=args.size,
        seed=args.seed,
        overwrite=args.overwrite,
        progress=sys.stderr.isatty(),
        **options,
    )
    report(args, written, f"{options['num_train']} + {options['num_val']} tiles")


def write_one(args):
    from imrsf_d2.synthetic.whole_scene import SensorGrid, write_scene

    grids = {name: SensorGrid(**options) for name, options in read_sensors(args.sensor or []).items()}
    written = write_scene(args.output, size=args.size, seed=args.seed, grids=grids, overwrite=args.overwrite)
    report(args, written, f"a scene of {args.size} x {args.size} px")


def report(args, written, what):
    print(
        f"{what} written to {args.output}" if written else f"{args.output} already holds exactly this data; nothing to do."
    )


def read_sensors(texts):
    """["sar:resolution=10,holes=3"] -> {"sar": {"resolution": 10.0, "holes": 3}}."""
    from imrsf_d2.utils.errors import InputError

    sensors = {}
    for text in texts:
        name, _, options = text.partition(":")
        if name in sensors:
            raise InputError(f"--sensor names {name!r} twice.")
        sensors[name] = {}
        for option in options.split(","):
            # A system may have a colon or an equals sign in its name, but begins with neither.
            key, _, value = option.partition("=")
            try:
                sensors[name][key] = SENSOR_OPTIONS[key](value)
            except (KeyError, ValueError) as error:
                raise InputError(
                    f"--sensor is {text!r}, expected NAME:KEY=VALUE,... with the keys {', '.join(SENSOR_OPTIONS)}, e.g. "
                    "sar:resolution=10,holes=3."
                ) from error
    return sensors
