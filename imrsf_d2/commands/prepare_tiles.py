"""Make a dataset of tiles from scenes of any sensors, and labels from polygons or rasters."""

import argparse
import sys

from imrsf_d2.commands.parsing import add_num_workers, command_parser, read_pairs

EXAMPLES = """
Examples:

Buildings from footprints; what would be made, and then the tiles:
    $ python datasets/prepare_tiles.py --modality rgb=scene.tif --modality "sar=s1/*.tif" --labels buildings.gpkg \\
        --task instance --output /data/buildings --dry-run
    $ python datasets/prepare_tiles.py --modality rgb=scene.tif --modality "sar=s1/*.tif" --labels buildings.gpkg \\
        --task instance --output /data/buildings

Land cover from a map raster, with a table of its codes (CSV: code,class,color; or the name of a packaged one):
    $ python datasets/prepare_tiles.py --modality s2=S2/ --modality s1=S1/ --modality dem=DEM/ --labels LULC/ \\
        --task semantic --classes esri_land_cover --unit dem=m --display s2=4,3,2 --output /data/cover

Polygons with a column of classes, of which only a part of the scene was mapped:
    $ python datasets/prepare_tiles.py --modality rgb=scene.tif --labels parcels.shp --class-column use \\
        --task semantic --background none --labeled-area mapped.gpkg --output /data/parcels

The tiles have the pixels of the finest sensor unless --reference, --crs or --resolution say otherwise; the other sensors are
resampled onto them where they have other ones. Files that lie in other systems, or far apart, are scenes of their own. The
same command continues an interrupted run, and --split, --split-by, --block and --seed may change. The folder says everything
about itself: other commands take it as --data DIR.
"""


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: prepare(args), interrupted="interrupted; the same command continues from here.")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = command_parser("prepare tiles", __doc__, EXAMPLES)
    parser.add_argument(
        "--modality", action="append", required=True, metavar="NAME=FILES", help="a sensor and its file, folder or glob"
    )
    parser.add_argument(
        "--labels", metavar="FILES", help="polygons in one vector file; or a raster, a folder or glob of rasters"
    )
    parser.add_argument(
        "--task",
        required=True,
        choices=("instance", "semantic", "pretrain"),
        help="objects, classes of pixels, or no labels at all",
    )
    parser.add_argument("--output", metavar="DIR", help="folder to write to; the same command resumes an interrupted run")
    parser.add_argument("--dry-run", "--check", action="store_true", help="say what would be made, and write nothing")
    labels = parser.add_argument_group("labels")
    labels.add_argument("--layer", metavar="NAME", help="of the vector file (default: its only layer of polygons)")
    labels.add_argument("--class-column", metavar="NAME", help="of the polygons' classes (default: one class)")
    labels.add_argument(
        "--classes", metavar="TABLE", help="CSV of code,class[,color], or the name of a packaged table (default: each code)"
    )
    labels.add_argument("--class-name", metavar="NAME", help="of the only class (default: the name of the file)")
    labels.add_argument(
        "--background",
        default="background",
        metavar="NAME",
        help="class outside all polygons; none = not labeled (default: background)",
    )
    labels.add_argument(
        "--labeled-area",
        "--labelled-area",  # its name before, which scripts may still use
        metavar="FILE",
        help="polygons outside which nothing is known of the labels",
    )
    tiles = parser.add_argument_group("tiles")
    tiles.add_argument("--tile", type=int, default=256, metavar="PX", help="side of a tile (default: 256)")
    tiles.add_argument("--overlap", type=int, default=0, metavar="PX", help="of neighboring tiles (default: 0)")
    tiles.add_argument("--reference", metavar="NAME", help="sensor whose pixels the tiles have (default: the finest)")
    tiles.add_argument("--crs", metavar="CRS", help="coordinate system of the tiles, e.g. EPSG:32633")
    tiles.add_argument("--resolution", type=float, metavar="UNITS", help="side of the tiles' pixels")
    tiles.add_argument("--assume-crs", metavar="CRS", help="of rasters that do not say theirs")
    tiles.add_argument(
        "--min-valid",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="leave out tiles with a smaller share of pixels with data (default: 0.05)",
    )
    split = parser.add_argument_group("split")
    split.add_argument("--split", type=float, default=0.8, metavar="SHARE", help="of the tiles for training (default: 0.8)")
    split.add_argument(
        "--split-by",
        choices=("block", "scene"),
        help="what is assigned to one split as a whole (default: scenes if there are ten or more)",
    )
    split.add_argument(
        "--block", type=int, metavar="TILES", help="side of a block (default: 8 or less; as loses few if tiles overlap)"
    )
    split.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice (default: 0)")
    sensors = parser.add_argument_group("sensors, each of these once for a sensor")
    sensors.add_argument("--bands", action="append", metavar="NAME=B,...", help="to take: numbers from 1, or names")
    sensors.add_argument(
        "--classes-of",
        action="append",
        metavar="NAME=N",
        help="a map raster of classes 0 to N - 1, or of the codes of a table",
    )
    sensors.add_argument(
        "--unit",
        action="append",
        metavar="NAME=UNIT",
        help="power: linear radar power, which the model receives in dB; dB, m, ...; none",
    )
    sensors.add_argument("--nodata", action="append", metavar="NAME=VALUE", help="no data if all bands hold it")
    sensors.add_argument("--display", action="append", metavar="NAME=B,...", help="a band, or red, green, blue, for figures")
    add_num_workers(parser)
    args = parser.parse_args(argv)
    if args.output is None and not args.dry_run:
        parser.error("--output is missing; --dry-run says what would be made without one")
    return args


def prepare(args: argparse.Namespace) -> None:
    from imrsf_d2.preparation.tiles.labels import LabelOptions
    from imrsf_d2.preparation.tiles.prepare import TileRequest, forecast_tiles, prepare_tiles
    from imrsf_d2.preparation.tiles.scenes import GridOptions
    from imrsf_d2.preparation.tiles.sensors import SensorOptions
    from imrsf_d2.preparation.tiles.splits import SplitOptions

    request = TileRequest(
        read_pairs("--modality", args.modality, str, "NAME=FILES, e.g. rgb=scene.tif"),
        LabelOptions(
            args.labels,
            args.task,
            args.layer,
            args.class_column,
            args.classes,
            args.class_name,
            args.background,
            args.labeled_area,
        ),
        GridOptions(args.tile, args.overlap, args.reference, args.crs, args.resolution, args.assume_crs),
        SensorOptions(
            read_pairs("--bands", args.bands, bands, "NAME=B,..., e.g. s2=4,3,2"),
            read_pairs("--classes-of", args.classes_of, number_or_name, "NAME=N or NAME=TABLE, e.g. dnw=9"),
            read_pairs("--unit", args.unit, str, "NAME=UNIT, e.g. sar=power"),
            read_pairs("--nodata", args.nodata, float, "NAME=VALUE, e.g. rgb=0"),
            read_pairs("--display", args.display, bands, "NAME=B,..., e.g. s2=4,3,2"),
        ),
        SplitOptions(args.split, args.split_by, args.block, args.seed),
        args.min_valid,
    )
    options = {"num_workers": args.num_workers, "progress": sys.stderr.isatty()}
    if args.dry_run:
        print(forecast_tiles(request, **options))
        print("Nothing was written.")
    else:
        print(prepare_tiles(request, args.output, **options))
        print(f"The dataset is {args.output}: train with --data {args.output}.")


def bands(text: str) -> tuple[int | str, ...]:
    """ "4,3,B02" -> (4, 3, "B02")."""
    return tuple(number_or_name(part.strip()) for part in text.split(","))


def number_or_name(text: str) -> int | str:
    """ "9" -> 9."""
    return int(text) if text.isdecimal() else text
