"""Make aligned tiles of Sentinel-1, Sentinel-2, elevation, Dynamic World and land-cover labels from your own exports.

The input holds a folder for each city, with s1*.tif, s2*.tif, dem*.tif, dnw*.tif (any CRS and resolution; several files
of a sensor form one mosaic; a sensor may be missing) and one *.gpkg or *.shp with the land cover, or rasters with it, labels*.tif.
datasets/README.md says how to get them.

Examples:
    python datasets/prepare_quadruplets.py --input /data/exports --output datasets/quadruplets
    python datasets/prepare_quadruplets.py --input /data/exports --output datasets/quadruplets --val-cities Nice Perth
    python datasets/prepare_quadruplets.py --input /data/exports --output datasets/quadruplets --merge-table esa_worldcover
"""

import argparse
import sys

from imrsf_d2.commands.parsing import add_num_workers, command_parser


def main(argv: list[str] | None = None) -> int:
    parser = command_parser("prepare quadruplets", __doc__)
    parser.add_argument(
        "--input", required=True, metavar="DIR", help="folder that holds a folder for each city; it is not changed"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder to write to; the same command resumes an interrupted run"
    )
    parser.add_argument("--tile-size", type=int, default=256, metavar="PX", help="side of a tile in pixels (default: 256)")
    parser.add_argument(
        "--resolution", type=float, default=10.0, metavar="M", help="side of a pixel in meters (default: 10)"
    )
    parser.add_argument(
        "--val-cities",
        nargs="*",
        metavar="CITY",
        help="cities for validation; without a name, all are for training (default: about 13 %% of the tiles)",
    )
    parser.add_argument(
        "--merge-table",
        metavar="CSV",
        help="table of codes and classes, or the name of a packaged one (default: imrsf_d2/data/datasets/land_cover.csv)",
    )
    parser.add_argument(
        "--s1-unit", choices=("linear", "db"), default="linear", help="unit of the Sentinel-1 scenes (default: linear)"
    )
    parser.add_argument(
        "--code-column", default="code_2018", metavar="NAME", help="column of the class codes (default: code_2018)"
    )
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="layer of the vector files; * stands for any text (default: the polygon layer with the column of codes)",
    )
    parser.add_argument(
        "--min-labeled",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="leave out tiles with a smaller share of labeled pixels (default: 0.05)",
    )
    add_num_workers(parser)
    args = parser.parse_args(argv)

    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: prepare(args), interrupted="interrupted; the same command continues from here.")


def prepare(args: argparse.Namespace) -> None:
    from imrsf_d2.data.datasets.land_cover import DEFAULT_TABLE
    from imrsf_d2.preparation.quadruplets.prepare import prepare_quadruplets

    print(
        prepare_quadruplets(
            args.input,
            args.output,
            tile_size=args.tile_size,
            resolution=args.resolution,
            val_cities=args.val_cities,
            merge_table=args.merge_table or DEFAULT_TABLE,
            s1_unit=args.s1_unit,
            code_column=args.code_column,
            layer=args.layer,
            min_labeled=args.min_labeled,
            num_workers=args.num_workers,
            progress=sys.stderr.isatty(),
        )
    )
