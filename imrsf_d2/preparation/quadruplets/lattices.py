"""How the pixels of a mosaic lie to those of a grid, and to places on the other side of 180 degrees."""

from __future__ import annotations

from dataclasses import replace

from rasterio.transform import Affine

from imrsf_d2.geo.map_grids import Grid
from imrsf_d2.geo.wrapping import period, turns
from imrsf_d2.preparation.quadruplets.mosaics import LATTICE_TOLERANCE_PX, Mosaic

__all__ = ["moved_near", "place_on_lattice"]


def place_on_lattice(mosaic: Mosaic, grid: Grid) -> tuple[int, int] | None:
    """Row and column of a grid's first pixel on a lattice; None if the pixels of the two are not the same."""
    a = mosaic.transform
    if a.b or a.d or mosaic.crs != grid.crs:
        return None
    row, column = (grid.top - a.f) / a.e, (grid.left - a.c) / a.a
    drift = max(abs(a.a - grid.resolution), abs(a.e + grid.resolution)) * max(grid.height, grid.width) / grid.resolution
    off = max(drift, abs(row - round(row)), abs(column - round(column)))
    return (round(row), round(column)) if off < LATTICE_TOLERANCE_PX else None


def moved_near(mosaic: Mosaic, middle: float) -> list[Mosaic]:
    """A mosaic as it is seen from a place: with its pieces at most half the way around the world from there, so that
    neighbors are neighbors in their numbers too.

    Args:
        middle: x of the place, in the system of the mosaic.

    Returns:
        One mosaic, unless once around the world is no whole number of pixels: then one for each move.
    """
    turn = period(mosaic.crs)
    if turn is None:
        return [mosaic]
    moves = [turns(left, right, middle - turn / 2, middle + turn / 2, turn) for left, _, right, _ in mosaic.bounds]
    a, inverse = mosaic.transform, ~mosaic.transform
    rows, columns = inverse.d * turn, inverse.a * turn
    if max(abs(rows - round(rows)), abs(columns - round(columns))) < LATTICE_TOLERANCE_PX:
        return [
            replace(
                mosaic,
                pieces=tuple(
                    replace(piece, row=piece.row + k * round(rows), column=piece.column + k * round(columns))
                    for piece, of_piece in zip(mosaic.pieces, moves)
                    for k in of_piece
                ),
            )
        ]
    return [
        replace(
            mosaic,
            transform=Affine(a.a, a.b, a.c + k * turn, a.d, a.e, a.f),
            pieces=tuple(piece for piece, of_piece in zip(mosaic.pieces, moves) if k in of_piece),
        )
        for k in sorted(set().union(*moves), key=abs)
    ]
