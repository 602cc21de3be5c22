"""The synthetic datasets, by the name of the layout that they imitate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from imrsf_d2.data.datasets.dfc2023 import TRAIN_CITIES, VAL_CITIES
from imrsf_d2.synthetic.building_tiles import write_dfc2023
from imrsf_d2.synthetic.land_cover_tiles import write_quadruplets
from imrsf_d2.synthetic.panoptic_tiles import write_panoptic

__all__ = ["LAYOUTS", "write_layout"]

LAYOUTS: dict[str, Callable[..., bool]] = {
    "dfc2023": partial(write_dfc2023, train_cities=TRAIN_CITIES, val_cities=VAL_CITIES),
    "quadruplets": write_quadruplets,
    "panoptic": write_panoptic,
}


def write_layout(layout: str, output: str | Path, **options) -> bool:
    """Write a synthetic dataset, split as the real one.

    Args:
        layout: one of LAYOUTS.
        output: the dataset's folder.
        options: num_train, num_val, size, seed and more, see `write_dfc2023` and `write_quadruplets`.

    Returns:
        False if exactly these data were already there and nothing was done.

    Raises:
        ValueError, FileExistsError: see `write_dfc2023`.
    """
    return LAYOUTS[layout](output, **options)
