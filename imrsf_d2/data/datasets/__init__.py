"""The built-in data sets: importing this package registers their names; nothing is read before one is used."""

from imrsf_d2.data.datasets.dfc2023 import register_dfc2023

__all__ = ["register_dfc2023"]

for _split in ("train", "val"):
    register_dfc2023(f"dfc2023_track2_{_split}", root=None, split=_split)
