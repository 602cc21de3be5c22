"""Figures of what a pre-trained model reconstructs from the visible patches of samples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError
from imrsf_d2.visualization.figures import name_row, new_grid, save_figure
from imrsf_d2.visualization.palettes import RGB, KeyEntry
from imrsf_d2.visualization.panels import draw_absent, draw_key, draw_view
from imrsf_d2.visualization.reconstruction_arrays import ReconstructedSample, read_reconstructed
from imrsf_d2.visualization.views import INVALID, View, display_limits, modality_title, view_modality

__all__ = ["draw_progress", "draw_reconstructions"]

#: Color of masked patches; missing data, which is hatched, is INVALID.
MASKED: RGB = (1.0, 1.0, 1.0)
#: Width of a panel, inches; there are three per modality.
PANEL = 1.7
HEADING = 8
#: A scale spans at least this fraction of the modality's standard deviation, so that flat ground shows no rounding errors.
MIN_SPAN = 0.1


def draw_reconstructions(
    path: str | os.PathLike, samples: Sequence[ReconstructedSample], modalities: ModalitySet, title: str
) -> None:
    """Write a PNG with one row per sample: for each modality the input, what the encoder saw, and the reconstruction.

    These three panels share one scale. Masked patches are blank, missing data is hatched.

    Args:
        path: of the PNG.
        samples: at least one.
        modalities: in the layout of the samples' images.
        title: heading of the figure; the percentage of visible patches is appended.
    """
    size = samples[0].image.shape[1:]
    figure, axes = new_grid(size, len(samples), 3 * len(modalities), PANEL)
    for modality, group in zip(modalities, np.split(axes, len(modalities), axis=1)):
        key = set()
        for row, sample in zip(group, samples):
            key |= _draw_panels(row, [sample], modalities, modality.name)
        draw_key(group[0][-1], sorted(key), beside=True)
        _write_headings(group[0], ["reconstruction"], f"{modality_title(modality)}\n")
    for row, sample in zip(axes, samples):
        name_row(row[0], sample.name, size, PANEL)
    seen, there = (
        sum(int(grids.sum()) for grids in kind) for kind in ([s.visible for s in samples], [s.present for s in samples])
    )
    save_figure(figure, path, f"{title}: {seen / max(there, 1):.0%} of the patches visible")


def draw_progress(
    path: str | os.PathLike, pictures: Mapping[str, str | os.PathLike], modalities: ModalitySet, title: str, sample: int = 0
) -> None:
    """Write a PNG of how a reconstruction improves: a row per modality, a column per moment of the training run.

    Args:
        path: of the PNG.
        pictures: heading of a column -> file written by `write_reconstructed`, all with the same samples and masks. The
            scale of an absent modality is that of its last reconstruction.
        modalities: in the layout of the samples' images.
        title: heading of the figure.
        sample: position of the sample in the files, from 0.

    Raises:
        ValueError: if a file has other samples or masks than the first one, or no such sample; also see
            `read_reconstructed`.
    """
    moments = [_read_sample(file, modalities, sample) for file in pictures.values()]
    first, first_file = moments[0], next(iter(pictures.values()))
    for moment, file in zip(moments, pictures.values()):
        if moment.name != first.name or not np.array_equal(moment.visible, first.visible):
            raise InputError(
                f"{os.fspath(file)} has the sample {moment.name!r}, expected {first.name!r} with the masks of "
                f"{os.fspath(first_file)}: give files of one training run."
            )
    size = first.image.shape[1:]
    figure, axes = new_grid(size, len(modalities), 2 + len(moments), PANEL)
    for modality, row in zip(modalities, axes):
        draw_key(row[-1], sorted(_draw_panels(row, moments, modalities, modality.name)), beside=True)
        row[0].set_ylabel(modality_title(modality), fontsize=9)
    _write_headings(axes[0], list(pictures))
    save_figure(figure, path, title)


def _read_sample(file: str | os.PathLike, modalities: ModalitySet, number: int) -> ReconstructedSample:
    samples = read_reconstructed(file, modalities)
    if not 0 <= number < len(samples):
        raise InputError(
            f"{os.fspath(file)} has {len(samples)} samples, so there is no sample {number}: give 0 to {len(samples) - 1}."
        )
    return samples[number]


def _draw_panels(
    axes: Sequence[Axes], moments: Sequence[ReconstructedSample], modalities: ModalitySet, name: str
) -> set[KeyEntry]:
    """Draw one modality of a sample on axes [2 + moments]: the input, the visible patches, each reconstruction.

    Returns:
        The classes that occur.
    """
    sample = moments[0]
    images = [_as_image(moment.predicted, modalities) for moment in moments]
    # One scale for all, so that colors can be compared.
    limits = display_limits(sample.image, modalities, name) or display_limits(images[-1], modalities, name)
    if limits is not None:
        widen = np.maximum(MIN_SPAN * max(modalities[name].std) - (limits[1] - limits[0]), 0) / 2
        limits = limits[0] - widen, limits[1] + widen
    given = view_modality(sample.image, modalities, name, limits)
    views = [
        given,
        _seen(given, sample, modalities.index_of(name)),
        *(view_modality(image, modalities, name, limits) for image in images),
    ]
    for axis, view in zip(axes, views):
        if view is None:
            draw_absent(axis, sample.image.shape[1:])
        else:
            draw_view(axis, view, bar=axis is axes[-1])
    if views[1] is not None:
        visible, present = (int(grids[modalities.index_of(name)].sum()) for grids in (sample.visible, sample.present))
        axes[1].set_title(f"{visible} of {present} patches", fontsize=HEADING)
    return set().union(*(view.key for view in views if view is not None))


def _write_headings(axes: Sequence[Axes], reconstructions: Sequence[str], first_line: str = "") -> None:
    """Write the headings of columns; that of the second one keeps the number of patches that is already there."""
    count = axes[1].get_title()
    for axis, heading in zip(axes, ("input", f"seen: {count}" if count else "seen", *reconstructions)):
        axis.set_title(first_line + heading, fontsize=HEADING)


def _seen(given: View | None, sample: ReconstructedSample, index: int) -> View | None:
    """The view of a modality with its masked patches blank; None if it is absent."""
    present, visible = sample.present[index], sample.visible[index]
    if given is None or not present.any():
        return None
    height, width = given.valid.shape
    visible, masked = (
        grid.repeat(sample.patch_size, 0).repeat(sample.patch_size, 1)[:height, :width]
        for grid in (visible, present & ~visible)
    )
    colors = np.where(visible[..., None], given.colors, INVALID)
    return replace(given, colors=np.where(masked[..., None], MASKED, colors), valid=masked | (visible & given.valid))


def _as_image(predicted: np.ndarray, modalities: ModalitySet) -> np.ndarray:
    """Bands [C, H, W] as an image [C + M, H, W] in which all finite pixels are valid."""
    finite = [np.isfinite(predicted[modalities.bands(name)]).all(axis=0) for name in modalities.names]
    return np.concatenate([predicted, finite])
