"""Reproducible measurements of speed and memory."""
