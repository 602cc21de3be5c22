"""The weight of each sensor in the fusion tokens, patch by patch: beta of the Bi-LSTM attention (paper, III-B, eq. 3).

With MODEL.IMRSF.GATHER "mean_bilstm" it is the weight in what corrects the mean of the sensors; "mean" weighs all of them alike,
so there is nothing to show.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.evaluation import inference_context
from torch import nn

from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.data.sample_names import sample_names
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.writing import write_raster
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.listening import Listener
from imrsf_d2.utils.precision import autocast

__all__ = ["ImportanceMap", "importance_maps", "write_importance"]


@dataclass(frozen=True)
class ImportanceMap:
    """The weights of the modalities in the fusion tokens of one image.

    Args:
        name: of the image, as of no other one of a run; a file can be called like it.
        image: [C + M, H, W] float32 in a `ModalitySet`'s layout, not normalized.
        beta: modality -> [Hp, Wp] float32 from 0 to 1; over the modalities of a patch they sum to 1. NaN where the
            modality is absent. The patches of the last row and column may reach beyond the image.
        patch_size: px.
        grid: georeference of the patches; None if the image has none.
    """

    name: str
    image: np.ndarray
    beta: Mapping[str, np.ndarray]
    patch_size: int
    grid: Grid | None


def importance_maps(cfg: CfgNode, model: nn.Module, samples: Sequence[Mapping]) -> Iterator[ImportanceMap]:
    """The importance maps of some images, each computed with all modalities that the image has.

    Args:
        cfg: the config the model was built from.
        model: with its weights loaded.
        samples: dataset dicts.

    Raises:
        InputError: if the model does not weigh its sensors; see `Listener`.
    """
    listener = Listener(model)
    names = ModalitySet.from_config(cfg).names
    mapper = build_mapper(cfg, is_train=False, keep=names)
    patch = listener.patch_px
    for sample, name in zip(samples, sample_names(samples)):
        mapped = mapper(sample)
        with inference_context(model), torch.no_grad(), autocast(cfg):
            _, (beta,) = listener([mapped])
        rows, columns = beta.shape[1:]
        ground = mapper.reader.grid(sample)
        if ground is not None:  # extended to whole patches, as the last ones may reach beyond the image
            ground = ground.part(slice(0, rows * patch), slice(0, columns * patch)).scaled_to(rows, columns)
        yield ImportanceMap(name, mapped["image"].numpy(), dict(zip(names, beta)), patch, ground)


def write_importance(folder: str | os.PathLike, item: ImportanceMap) -> list[Path]:
    """Write the maps of one image as GeoTIFFs, one pixel per patch, NaN for no data.

    Args:
        folder: gets `<modality>/<name>.tif`.
        item: the maps.

    Returns:
        The paths of the files.
    """
    where = {} if item.grid is None else {"crs": item.grid.crs, "transform": item.grid.transform}
    paths = [Path(folder) / modality / f"{item.name}.tif" for modality in item.beta]
    for path, beta in zip(paths, item.beta.values()):
        write_raster(path, beta, nodata=float("nan"), **where)
    return paths
