"""Scenes of any sensors and labels of any kind become a folder of tiles with one dataset.yaml."""
