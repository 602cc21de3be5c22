"""Pixels on the ground: raster files, grids and warping between them, map projections, vector files."""
