"""Whether the files of a sample, taken pixel by pixel, show one place on the ground."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import RasterError, read_grid
from imrsf_d2.utils.errors import InputError, some_of

__all__ = ["SamplePlaces", "check_annotated", "check_overlap", "check_places", "place_text", "same_place"]

logger = logging.getLogger(__name__)

REMEDY = (
    "Their pixels would be taken for the same place. Set INPUT.ALIGN True to resample them by their geotransforms, "
    "or INPUT.IGNORE_PLACES True if the geotransforms are wrong and the pixels do belong together."
)


class SamplePlaces:
    """Compares the grids of one sample's files as they are opened.

    Args:
        image_id: of the sample, for messages.
    """

    def __init__(self, image_id: object):
        self._image_id = image_id
        self._first: tuple[str, str, Grid] | None = None

    def add(self, name: str, path: str, grid: Grid) -> None:
        """Add one more file.

        Args:
            name: what it holds.
            grid: its own. One without a georeference agrees with all others; one of another size is not compared.

        Raises:
            InputError: if it lies elsewhere than the first file with a georeference.
        """
        if not grid.located:
            return
        if self._first is None:
            self._first = name, path, grid
            return
        other, other_path, reference = self._first
        if grid.shape != reference.shape or same_place(grid, reference):
            return
        raise InputError(
            f"image {self._image_id!r}: {name!r} ({path}) lies elsewhere than {other!r} ({other_path}): "
            f"{place_text(grid)}, expected {place_text(reference)}. {REMEDY}"
        )


def same_place(grid: Grid, reference: Grid) -> bool:
    """True if the pixels of two grids of one size show the same places, as far as both say where they lie."""
    # Nearly always the numbers are the same; comparing them is faster than comparing the corners on the ground.
    return grid == reference or grid.equals(reference)


def check_places(samples: Sequence[Mapping], names: Collection[str]) -> None:
    """Check by the headers of their files that the sensors and label map of each sample show the same place.

    Args:
        samples: dataset dicts.
        names: the modalities to check.

    Raises:
        InputError: naming two files of the first sample that disagree, and the number of such samples.
    """
    problems = [problem for sample in samples if (problem := _problem(sample, names)) is not None]
    if problems:
        more = f" {len(problems)} of the {len(samples)} images looked at have such files." if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}")


def check_overlap(samples: Sequence[Mapping], names: Collection[str], grid_of: Callable[[Mapping], Grid | None]) -> None:
    """Check that files which are to be resampled show anything of their samples' ground, and warn of those that do not.

    Args:
        samples: dataset dicts.
        names: the modalities to check.
        grid_of: gives the grid that a sample's files are resampled onto (see `SampleReader.grid`).

    Raises:
        InputError: if all files of a modality that were looked at lie elsewhere.
    """
    looked = dict.fromkeys(names, 0)
    elsewhere: dict[str, list[str]] = {name: [] for name in names}
    for sample in samples:
        wanted = grid_of(sample)
        if wanted is None:
            continue
        for name in names:
            if (path := sample["modalities"].get(name)) is not None:
                with contextlib.suppress(RasterError):  # reported when it is read
                    grid = read_grid(path)
                    looked[name] += 1
                    if grid.located and wanted.located and not wanted.meets(grid):
                        elsewhere[name].append(f"{path} ({place_text(grid)}; expected {place_text(wanted)})")
    for name, problems in elsewhere.items():
        if not problems:
            continue
        text = f"{len(problems)} of the {looked[name]} files of {name!r} that were looked at show nothing of their images' ground"
        if len(problems) == looked[name]:
            raise InputError(f"{text}, e.g. {problems[0]}. With INPUT.ALIGN this sensor would be missing everywhere.")
        logger.warning("%s: %s. In these images the sensor counts as missing.", text, some_of(problems, 3))


def check_annotated(samples: Sequence[Mapping], names: Sequence[str]) -> None:
    """Warn if INPUT.ALIGN cannot know which sensor the annotations of samples were drawn on.

    Args:
        samples: dataset dicts.
        names: all modalities in config order: the first one of the annotations' size is taken.
    """
    found = [problem for sample in samples if (problem := _several_places(sample, names)) is not None]
    if found:
        logger.warning(
            "%d of the %d images that were looked at have sensors of the annotations' size in different places: %s INPUT.ALIGN moves "
            "all sensors to the first of them in MODEL.IMRSF.MODALITIES, where an image has it: list the sensor that the "
            "annotations are drawn on first.",
            len(found),
            len(samples),
            found[0],
        )


def _several_places(sample: Mapping, names: Sequence[str]) -> str | None:
    """Two sensors that the annotations may be drawn on, if they lie in different places; a label map has a place of its own."""
    if sample.get("sem_seg_file_name") is not None or not (sample.get("annotations") or sample.get("pan_seg_file_name")):
        return None
    first: tuple[str, Grid] | None = None
    for name in names:
        if (path := sample["modalities"].get(name)) is None:
            continue
        with contextlib.suppress(RasterError):  # reported when it is read
            grid = read_grid(path)
            if not grid.located or grid.shape != (sample["height"], sample["width"]):
                continue
            if first is None:
                first = name, grid
            elif not same_place(grid, first[1]):
                return (
                    f"in {sample['image_id']!r}, {first[0]!r} has {place_text(first[1])}, and {name!r} {place_text(grid)}."
                )
    return None


def _problem(sample: Mapping, names: Collection[str]) -> str | None:
    places = SamplePlaces(sample["image_id"])
    files = {"labels": sample.get("sem_seg_file_name")} | {name: sample["modalities"].get(name) for name in names}
    for name, path in files.items():
        if path is not None:
            try:
                with contextlib.suppress(RasterError):  # reported when it is read
                    places.add(name, path, read_grid(path))
            except InputError as error:
                return str(error)
    return None


def place_text(grid: Grid) -> str:
    """Where a grid lies, in words."""
    a, crs = grid.transform, grid.crs
    if crs is None:
        return "an unknown place"
    system = f"EPSG:{code}" if (code := crs.to_epsg()) else crs.to_string()
    return f"a corner at ({a.c:.10g}, {a.f:.10g}) and pixels of {abs(a.a):.6g} x {abs(a.e):.6g} in {system}"
