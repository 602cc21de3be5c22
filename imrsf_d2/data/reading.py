"""The sensors of one sample, as one tensor: here a missing sensor becomes validity.

`SampleReader.read` returns bands and validity of the sensors that hold data: not those whose path is None, whose file
cannot be read in training, or of which no pixel is valid. `assemble` gives each modality a validity channel, which is 0
everywhere for a sensor that is not there. Which pixels of a file hold data is decided in `imrsf_d2.geo.rasters`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from imrsf_d2.data.places import SamplePlaces
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import Raster, RasterError, SizeError, read_grid, read_raster, size_text
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = ["SampleReader", "annotation_grid", "assemble"]

logger = logging.getLogger(__name__)


class SampleReader:
    """Reads the rasters of dataset dicts onto one pixel grid.

    Args:
        modalities: the model's modalities.
        keep: those that are ever read.
        tolerant: treat an unreadable file as a missing sensor (training); otherwise it is an error.
        align: resample files on another grid than the sample's annotations; otherwise sizes must be equal.
        ignore_places: without `align`, combine files of one size pixel by pixel wherever they lie; otherwise files that
            lie elsewhere than others of the sample are an error.
    """

    def __init__(
        self, modalities: ModalitySet, keep: Sequence[str], *, tolerant: bool, align: bool, ignore_places: bool = False
    ):
        self.modalities = modalities
        self.keep = tuple(keep)
        self.tolerant = tolerant
        self.align = align
        self.ignore_places = ignore_places
        self._reported: set[str] = set()
        self._placed: set[str] = set()

    def paths(self, sample: Mapping) -> dict[str, str]:
        """Files of the modalities that the model knows, the sample has and `keep` allows, in config order.

        Raises:
            ValueError: if the dataset dict has no `modalities`.
        """
        if "modalities" not in sample:
            raise InputError(
                f"the dataset dict of {sample.get('file_name')!r} has no 'modalities', expected "
                "e.g. {'rgb': path, 'sar': None}; register the dataset with imrsf_d2.data.datasets."
            )
        files = sample["modalities"]
        return {name: files[name] for name in self.keep if files.get(name) is not None}

    def read(
        self, sample: Mapping, names: Sequence[str], spare: Sequence[str] = (), window: tuple[slice, slice] | None = None
    ) -> dict[str, Raster]:
        """Read some of a sample's modalities.

        Args:
            sample: a dataset dict.
            names: modalities to read, of those in `paths`.
            spare: tried in turn if none of `names` holds any data: a bad file must not end a long training run.
            window: rows and columns of the sample to read; None reads all.

        Returns:
            Bands and validity of those with at least one valid pixel: without any, the sensor counts as missing.

        Raises:
            RasterError: if a file cannot be read; when tolerant, only if no file of the sample can.
            ValueError: if a file contradicts the config, the annotations, or the other files.
        """
        paths = self.paths(sample)
        grid = self.grid(sample) if self.align and paths else None
        size = (sample["height"], sample["width"])
        places = None if self.align or self.ignore_places else SamplePlaces(sample["image_id"])
        labels = sample.get("sem_seg_file_name")
        if (
            places is not None and labels is not None and labels not in self._placed
        ):  # opened once more, but only once per file
            with contextlib.suppress(RasterError):  # reported when it is read
                places.add("labels", labels, read_grid(labels))
            self._placed.add(labels)
        rasters: dict[str, Raster] = {}
        sizes: dict[str, tuple[int, int]] = {}
        failed: list[RasterError] = []
        for name in [*names, *spare]:
            if name in spare and rasters:
                break
            check_grid = None if places is None else partial(places.add, name, paths[name])
            try:
                bands, valid = read_raster(
                    paths[name], self.modalities[name], size=size, grid=grid, window=window, check_grid=check_grid
                )
            except SizeError as error:
                if error.found is None:
                    raise
                sizes[name] = error.found
                continue
            except RasterError as error:
                if not self.tolerant:
                    raise
                failed.append(error)
                self._report(error)
                continue
            sizes[name] = size
            if valid.any():
                rasters[name] = bands, valid
        if failed and not sizes:
            raise RasterError(
                f"image {sample['image_id']!r}: every modality is unreadable. " + " ".join(str(error) for error in failed)
            )
        self._check_sizes(sample, sizes, paths)
        return rasters

    def grid(self, sample: Mapping) -> Grid | None:
        """The grid of the sample's annotations (see `annotation_grid`), None if no file has a georeference.

        Only headers are read, until the grid is found; those of dropped sensors too, as dropping a sensor must not move the
        others.

        Raises:
            ValueError: if no file has a georeference, and their sizes differ.
        """
        files = {"labels": sample.get("sem_seg_file_name")} | dict(sample["modalities"])

        def grids() -> Iterator[tuple[str, Grid]]:
            for name in ("labels", *self.modalities.names):
                if (path := files.get(name)) is not None:
                    with contextlib.suppress(RasterError):  # reported when it is read
                        yield name, read_grid(path)

        return annotation_grid(sample, grids())

    @staticmethod
    def _check_sizes(sample: Mapping, sizes: Mapping[str, tuple[int, int]], paths: Mapping[str, str]) -> None:
        image_id = sample["image_id"]
        expected = (sample["height"], sample["width"])
        for name, size in sizes.items():
            if size == expected:
                continue
            other = next((n for n in sizes if sizes[n] != size), None)
            if other is not None:
                raise InputError(
                    f"{name!r} of image {image_id!r} is {size_text(size)} ({paths[name]}), expected "
                    f"{size_text(sizes[other])} like {other!r} ({paths[other]}). All modalities of a sample "
                    "must be on one pixel grid: resample one of them, or set INPUT.ALIGN True to resample them "
                    "by their geotransforms."
                )
            raise InputError(
                f"{name!r} of image {image_id!r} is {size_text(size)} ({paths[name]}), expected "
                f"{size_text(expected)} as in the annotations."
            )

    def _report(self, error: RasterError) -> None:
        """Warn once per file (and worker process) that it cannot be read."""
        if error.path not in self._reported:
            self._reported.add(error.path)
            logger.warning("%s Training goes on as if this sensor were missing there.", error)


def annotation_grid(sample: Mapping, grids: Iterable[tuple[str, Grid]]) -> Grid | None:
    """The grid that INPUT.ALIGN resamples a sample's files onto, None if no file has a georeference.

    It is the grid of the label map, or of the first sensor of the annotations' size; else the ground of the first sensor
    with a georeference, divided into as many pixels as the annotations have.

    Args:
        sample: a dataset dict.
        grids: name and grid of its label map, if it has one, and of its sensors in config order; no more of them are asked
            for than are needed.

    Raises:
        ValueError: if no file has a georeference, and their sizes differ.
    """
    expected, seen = (sample["height"], sample["width"]), {}
    for name, grid in grids:
        if grid.located and grid.shape == expected:
            return grid
        seen[name] = grid
    located = [grid for grid in seen.values() if grid.located]
    if located:
        return located[0].scaled_to(*expected)
    if all(grid.shape == expected for grid in seen.values()):
        return None  # there is no georeference, and nothing to resample
    sizes = "; ".join(f"{name!r} is {size_text(grid.shape)}" for name, grid in seen.items())
    raise InputError(
        f"image {sample['image_id']!r}: INPUT.ALIGN finds no georeference in any of its rasters, and "
        f"they are not all {size_text(expected)} as in the annotations: {sizes}."
    )


def assemble(modalities: ModalitySet, rasters: Mapping[str, Raster], size: tuple[int, int]) -> np.ndarray:
    """Put a sample's modalities into the one tensor that the model gets.

    Args:
        modalities: the model's modalities.
        rasters: bands and validity of those present, all of one size.
        size: that size, (H, W).

    Returns:
        [C + M, H, W] float32: the bands in config order, then one validity channel per modality (1 = holds data). An
        absent modality has validity 0 and its bands hold the mean.
    """
    image = np.zeros((modalities.num_channels, *size), dtype=np.float32)
    for modality in modalities:
        bands, validity = modalities.bands(modality.name), modalities.validity(modality.name)
        if modality.name in rasters:
            image[bands], image[validity] = rasters[modality.name]
        else:
            image[bands] = np.asarray(modality.mean, dtype=np.float32)[:, None, None]
    return image
