"""Figures of how much each sensor contributes to the fusion tokens, patch by patch."""

from __future__ import annotations

import os

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from imrsf_d2.evaluation.importance import ImportanceMap
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.visualization.figures import new_grid, save_figure
from imrsf_d2.visualization.panels import draw_absent, draw_key, draw_modality, hatch
from imrsf_d2.visualization.views import modality_title

__all__ = ["draw_importance"]


def draw_importance(path: str | os.PathLike, item: ImportanceMap, modalities: ModalitySet) -> None:
    """Write a PNG with a column per modality: the image above, its weight in the fusion tokens below.

    Patches without data of a modality are hatched.

    Args:
        path: of the PNG.
        item: the image and its weights.
        modalities: in the layout of the image.
    """
    height, width = item.image.shape[1:]
    figure, axes = new_grid((height, width), 2, len(modalities))
    scale = ScalarMappable(Normalize(0, 1), "viridis")
    for (above, below), modality in zip(axes.T, modalities):
        draw_key(above, sorted(draw_modality(above, item.image, modalities, modality.name)))
        above.set_title(modality_title(modality), fontsize=10)
        beta, patch = item.beta[modality.name], item.patch_size
        if np.isnan(beta).all():
            draw_absent(below, (height, width))
            continue
        rows, columns = beta.shape
        below.imshow(
            beta,
            norm=scale.norm,
            cmap=scale.cmap,
            interpolation="nearest",
            extent=(-0.5, columns * patch - 0.5, rows * patch - 0.5, -0.5),
        )
        hatch(below, np.isnan(beta), scale=(patch, patch))
        below.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), title=f"weight (mean {np.nanmean(beta):.2f})")
        below.title.set_fontsize(9)
    figure.colorbar(scale, ax=axes[1].tolist(), fraction=0.02, pad=0.01).ax.tick_params(labelsize=7)
    save_figure(figure, path, f"{item.name}: weights of the sensors in the fusion tokens")
