"""Mosaics as they are seen from the other side of 180 degrees."""

from __future__ import annotations

from dataclasses import replace

from rasterio.transform import Affine

from imrsf_d2.geo.wrapping import period, turns
from imrsf_d2.preparation.quadruplets.mosaics import LATTICE_TOLERANCE_PX, Mosaic

__all__ = ["moved_near"]


def moved_near(mosaic: Mosaic, middle: float) -> list[Mosaic]:
    """A mosaic as it is seen from a place: with its pieces at most half a turn around the world from there, so that
    neighboring places have neighboring coordinates.

    Args:
        middle: x of the place, in the system of the mosaic.

    Returns:
        One mosaic, unless a turn around the world is not a whole number of pixels: then one for each number of turns.
    """
    turn = period(mosaic.crs)
    if turn is None:
        return [mosaic]
    moves = [turns(left, right, middle - turn / 2, middle + turn / 2, turn) for left, _, right, _ in mosaic.bounds]
    inverse = ~mosaic.transform
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
            transform=Affine.translation(k * turn, 0) * mosaic.transform,
            pieces=tuple(piece for piece, of_piece in zip(mosaic.pieces, moves) if k in of_piece),
        )
        for k in sorted(set().union(*moves), key=abs)
    ]
