"""Weights in files, and weights that were trained elsewhere."""
