"""Exported scenes and vector labels become aligned land-cover tiles."""
