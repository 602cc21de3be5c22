"""Whole rasters from one grid to (a part of) another."""

from imrsf_d2.geo.warp import Warp


def resample(bands, valid, source, target, categorical, part=None):
    """Of bands [C, h, w] and validity [h, w] of all of `source`, what `target` or a part of it gets of them."""
    warp = Warp.between(source, target, part)
    return warp.resample(bands[(slice(None), *warp.window)], valid[warp.window], categorical)
