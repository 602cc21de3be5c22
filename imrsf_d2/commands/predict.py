"""Map a scene: rasters of any sensors, extent and resolution to polygons of objects or a map of classes."""

from imrsf_d2.commands.parsing import add_config, add_overrides, command_parser, read_pairs
from imrsf_d2.utils.errors import InputError

EXAMPLES = """
Examples:

Buildings of a scene from three sensors, one of them in many files; each sensor may be left out or cover only a part:
    $ python tools/predict_scene.py --config-file configs/dfc2023_instance.yaml --modality rgb=scene.tif \\
        --modality "sar=s1/*.tif" --modality dsm=dem.vrt --output buildings.gpkg MODEL.WEIGHTS output/instance/model_final.pth

What would be done, and how long it would take:
    $ python tools/predict_scene.py --config-file configs/dfc2023_instance.yaml --modality rgb=scene.tif \\
        --output buildings.gpkg --dry-run MODEL.WEIGHTS output/instance/model_final.pth

A label map on a grid of its own, of one area:
    $ python tools/predict_scene.py --config-file configs/quadruplets_lulc.yaml --modality s2=s2.tif --modality dem=dem.tif \\
        --crs EPSG:32633 --resolution 10 --aoi area.gpkg --output cover.tif MODEL.WEIGHTS output/lulc/model_final.pth

The same, with the probabilities of its classes (cover.tif.probabilities.tif), which sensor the model listened to
(cover.tif.importance.tif) and a quick look (cover.tif.png) beside it:
    $ python tools/predict_scene.py ... --output cover.tif --probabilities --importance --png MODEL.WEIGHTS ...

In four parts, e.g. of an array job, and the map from them:
    $ python tools/predict_scene.py ... --shard 0/4 MODEL.WEIGHTS ...
    $ python tools/predict_scene.py ... --merge MODEL.WEIGHTS ...

The map has the pixels and the extent of the finest sensor unless --reference, --crs, --resolution, --bounds or --aoi say
otherwise. The name of --output decides what is written: .gpkg, .fgb, .geojson or .parquet for objects, .tif for classes.
"""


def parse(argv):
    parser = command_parser("predict", __doc__, EXAMPLES)
    add_config(parser, "the config the model was trained with")
    parser.add_argument(
        "--modality", action="append", required=True, metavar="NAME=FILES", help="a sensor and its file, folder or glob"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="the map; replaced only by a complete one")
    parser.add_argument(
        "--reference", metavar="NAME", help="the sensor whose pixels and extent the map has (default: the finest)"
    )
    parser.add_argument("--crs", metavar="CRS", help="coordinate system of the map, e.g. EPSG:32633")
    parser.add_argument("--resolution", type=float, metavar="UNITS", help="side of the map's pixels")
    parser.add_argument(
        "--bounds", type=float, nargs=4, metavar=("LEFT", "BOTTOM", "RIGHT", "TOP"), help="part of the map, in its system"
    )
    parser.add_argument("--aoi", metavar="FILE", help="polygons: the part of the map that is wanted")
    parser.add_argument("--assume-crs", metavar="CRS", help="of rasters that do not say theirs")
    parser.add_argument(
        "--window", type=int, metavar="PX", help="what the model sees at a time (default: its training crops)"
    )
    parser.add_argument("--overlap", type=int, metavar="PX", help="of neighboring windows (default: a quarter of --window)")
    parser.add_argument(
        "--min-score", type=float, default=0.5, metavar="S", help="leave out objects below it (default: 0.5)"
    )
    parser.add_argument("--min-area", type=float, default=0.0, metavar="M2", help="leave out smaller objects (default: 0)")
    parser.add_argument(
        "--simplify", type=float, default=0.0, metavar="UNITS", help="move outlines up to this far to simplify them"
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="also write those of a label map's classes, a band each"
    )
    parser.add_argument(
        "--importance", action="store_true", help="also write which sensor the model listened to, a band each"
    )
    parser.add_argument("--png", action="store_true", help="also draw a quick look")
    parser.add_argument(
        "--html", action="store_true", help="also write a page to zoom and pan, with what the map says of each object"
    )
    parser.add_argument("--batch-size", type=int, default=4, metavar="N", help="windows at a time (default: 4)")
    parser.add_argument(
        "--num-workers",
        type=int,
        metavar="N",
        help="processes that read files and make objects of masks; 0 does it in threads (default: up to 4 beside a GPU, by "
        "the number of cores; else 0)",
    )
    parser.add_argument("--resume", action="store_true", help="continue a run that was interrupted")
    parser.add_argument("--shard", metavar="I/N", help="compute only the I-th of N parts (from 0); --merge writes the map")
    parser.add_argument("--merge", action="store_true", help="write the map of parts that are all computed")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done and, by some windows that are computed, how long it would take; write nothing",
    )
    add_overrides(parser)
    args = parser.parse_args(argv)
    if args.merge and args.shard:
        parser.error("--merge is for when all parts are computed; leave out --shard")
    return args


def read_shard(text: str | None) -> tuple[int, int] | None:
    """ "1/4" -> (1, 4)."""
    if text is None:
        return None
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise InputError(f"--shard is {text!r}, expected I/N with I from 0 to N - 1, e.g. 0/4.")
    return int(index), int(count)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)  # before anything heavy is loaded: --help is quick
    from imrsf_d2.utils.errors import exit_code

    def command():
        args.sensors = read_pairs("--modality", args.modality, str, "NAME=FILES, e.g. rgb=scene.tif")
        args.shard = read_shard(args.shard)
        from imrsf_d2.compat.upstream import prepare

        prepare()
        from imrsf_d2.engine.scene_mapping import map_scene

        map_scene(args)

    return exit_code(command, interrupted="interrupted; the same command with --resume goes on from here.")
