"""The one place that knows pixels and ground: raster files, grids, warping, mosaics, vectors."""
