"""Files and folders in a download of DFC2023 track 2."""

from __future__ import annotations

import os
from pathlib import Path

from imrsf_d2.data.datasets.dfc2023 import raster_folders
from imrsf_d2.utils.errors import MissingFileError

__all__ = ["raster_names", "track_folder"]


def track_folder(source: Path) -> Path:
    """The folder `track2` in the folder that the user gave.

    Raises:
        FileNotFoundError: if there is none.
    """
    if not (source / "track2").is_dir():
        hint = source.resolve().parent if source.resolve().name == "track2" else "the folder that holds track2"
        raise MissingFileError(f"no folder 'track2' in {source}; pass {hint} as input.")
    return source / "track2"


def raster_names(track: Path) -> dict[str, list[str]]:
    """The sorted names of the rasters of each modality that has a folder."""
    return {
        modality: sorted(
            name
            for name in os.listdir(folder)
            # Sidecar files (.aux.xml, .msk) belong to their raster, dot files to the operating system.
            if name.lower().endswith((".tif", ".tiff")) and not name.startswith(".")
        )
        for modality, folder in raster_folders(track).items()
    }
