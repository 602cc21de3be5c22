"""From a dataset dict to what a meta-architecture takes: read, drop modalities, augment, rasterise."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import Instances

from imrsf_d2.data.geometry import Geometry, draw_geometry
from imrsf_d2.data.masks import instance_masks
from imrsf_d2.data.modality_dropout import draw_subset
from imrsf_d2.data.rasters import Raster, RasterError, assemble, check_same_size, read_raster, size_text
from imrsf_d2.modalities import ModalitySet

__all__ = ["MAPPERS", "InstanceMapper", "build_mapper"]

logger = logging.getLogger(__name__)

#: Instances that a crop leaves with fewer pixels are dropped: such slivers cannot be told from their surroundings.
MIN_INSTANCE_PIXELS = 4


class InstanceMapper:
    """Samples for instance segmentation.

    A training sample is a function of the seed and of `draw`, its place in the training stream, alone: which
    modalities it keeps (drawn before reading, so that the others are never opened), its window, turn and mirroring.

    Args:
        modalities: the model's modalities.
        is_train: drop modalities, augment, and add `instances`.
        dropout: strategy of the modality dropout (training only), or None for none.
        crop: (height, width) of the training window, px, or None for whole tiles.
        dihedral: turn and mirror training samples by the eight symmetries of a square.
        keep: the modalities used at test time, the others are never opened; empty keeps all.
        seed: of the training samples' generators.
    """

    @configurable
    def __init__(self, modalities: ModalitySet, *, is_train: bool, dropout: str | None = "uniform",
                 crop: tuple[int, int] | None = None, dihedral: bool = True, keep: Sequence[str] = (), seed: int = 0):
        self.modalities = modalities
        self.is_train = is_train
        self.dropout = dropout
        self.crop = crop
        self.dihedral = dihedral
        self.keep = modalities.check_subset(keep, "keep") if not is_train else modalities.names
        self.seed = seed
        self._reported: set[str] = set()
        self._fill = np.asarray(modalities.pixel_mean, dtype=np.float32)[:, None, None]

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True, keep: Sequence[str] | None = None) -> dict:
        """Read INPUT.{CROP, DIHEDRAL, MODALITY_DROPOUT, TEST_MODALITIES} and SEED.

        Args:
            keep: replaces INPUT.TEST_MODALITIES unless None.
        """
        modalities = ModalitySet.from_config(cfg)
        crop, dropout = cfg.INPUT.CROP, cfg.INPUT.MODALITY_DROPOUT
        if is_train and crop.ENABLED and (crop.TYPE != "absolute" or len(crop.SIZE) != 2
                                          or any(int(side) != side or side < 1 for side in crop.SIZE)):
            raise ValueError(f"INPUT.CROP is TYPE {crop.TYPE!r}, SIZE {list(crop.SIZE)}, expected TYPE 'absolute' and "
                             "SIZE [height, width] in pixels, e.g. [256, 256].")
        source = "INPUT.TEST_MODALITIES" if keep is None else "the test loader's modalities"
        return {
            "modalities": modalities,
            "is_train": is_train,
            "dropout": dropout.STRATEGY if dropout.ENABLED else None,
            "crop": tuple(int(side) for side in crop.SIZE) if crop.ENABLED else None,
            "dihedral": cfg.INPUT.DIHEDRAL,
            "keep": modalities.check_subset(cfg.INPUT.TEST_MODALITIES if keep is None else keep, source),
            "seed": max(cfg.SEED, 0),
        }

    def __call__(self, dataset_dict: Mapping) -> dict:
        """Read a sample.

        Args:
            dataset_dict: see DESIGN section 3; with `draw` in training (`build_train_loader` adds it; without it the
                sample follows numpy's global state, as in Detectron2).

        Returns:
            image [C + M, H, W] float32, not normalised, then height, width, image_id, file_name and `modalities` (the
            names of those in the image); in training also `instances` with gt_masks [n, H, W] bool and gt_classes.

        Raises:
            RasterError: if a file cannot be read at test time, or in training none of the sample's.
            ValueError: if files contradict the config, the annotations, or each other.
        """
        paths = self._paths(dataset_dict)
        rng = self._generator(dataset_dict)
        names = draw_subset(tuple(paths), rng, self.dropout) if self.is_train and self.dropout else tuple(paths)
        rasters = self._read(dataset_dict, paths, names, rng)
        image = assemble(self.modalities, rasters, (dataset_dict["height"], dataset_dict["width"]))
        sample = {key: dataset_dict[key] for key in ("file_name", "height", "width", "image_id")}
        sample["modalities"] = tuple(name for name in self.modalities.names if name in rasters)
        if self.is_train:
            geometry = draw_geometry(image.shape[1:], self.crop, self.dihedral, rng)
            image = geometry.apply(image, self._fill)
            sample["instances"] = self._instances(dataset_dict, geometry)
        sample["image"] = torch.from_numpy(np.ascontiguousarray(image))
        return sample

    def _paths(self, dataset_dict: Mapping) -> dict[str, str]:
        """Files of the modalities that the model knows, the sample has and the test keeps, in config order."""
        if "modalities" not in dataset_dict:
            raise ValueError(f"the dataset dict of {dataset_dict.get('file_name')!r} has no 'modalities', expected "
                             "e.g. {'rgb': path, 'sar': None}; register the data set with imrsf_d2.data.datasets.")
        files = dataset_dict["modalities"]
        return {name: files[name] for name in self.keep if files.get(name) is not None}

    def _generator(self, dataset_dict: Mapping) -> np.random.Generator:
        if "draw" in dataset_dict:
            return np.random.default_rng([self.seed, dataset_dict["draw"]])
        return np.random.default_rng(np.random.randint(2**31) if self.is_train else 0)

    def _read(self, dataset_dict: Mapping, paths: Mapping[str, str], names: Sequence[str],
              rng: np.random.Generator) -> dict[str, Raster]:
        rasters = {}
        failed = []
        # Should every drawn file be unreadable, one of the others stands in: a bad file must not end a long training.
        spare = rng.permutation([name for name in paths if name not in names]).tolist() if self.is_train else []
        for name in [*names, *spare]:
            if name in spare and rasters:
                break
            try:
                rasters[name] = read_raster(paths[name], self.modalities[name])
            except RasterError as error:
                if not self.is_train:
                    raise
                failed.append(str(error))
                self._report(error)
        image_id = dataset_dict["image_id"]
        if paths and not rasters:
            raise RasterError(f"image {image_id!r}: every modality is unreadable. " + " ".join(failed))
        if rasters:
            check_same_size(rasters, paths, image_id)
            name, (_, valid) = next(iter(rasters.items()))
            expected = (dataset_dict["height"], dataset_dict["width"])
            if valid.shape != expected:
                raise ValueError(f"{name!r} of image {image_id!r} is {size_text(valid.shape)} ({paths[name]}), "
                                 f"expected {size_text(expected)} as in the annotations.")
        return rasters

    def _report(self, error: RasterError) -> None:
        """Say once per file (and worker process) that it cannot be read."""
        if error.path not in self._reported:
            self._reported.add(error.path)
            logger.warning("%s Training goes on as if this sensor were missing there.", error)

    def _instances(self, dataset_dict: Mapping, geometry: Geometry) -> Instances:
        annotations = [a for a in dataset_dict.get("annotations", ()) if not a.get("iscrowd", 0)]
        try:
            masks, kept = instance_masks(annotations, dataset_dict["height"], dataset_dict["width"], geometry,
                                         min_pixels=MIN_INSTANCE_PIXELS)
        except ValueError as error:
            raise ValueError(f"image {dataset_dict['image_id']!r} ({dataset_dict['file_name']}): an annotation's "
                             f"segmentation cannot be rasterised: {error}.") from error
        instances = Instances(masks.shape[1:])
        instances.gt_masks = torch.from_numpy(masks)
        instances.gt_classes = torch.tensor([annotations[i]["category_id"] for i in kept], dtype=torch.int64)
        return instances


#: INPUT.DATASET_MAPPER_NAME -> class
MAPPERS = {"imrsf_instance": InstanceMapper}


def build_mapper(cfg: CfgNode, is_train: bool, **changes):
    """The mapper that INPUT.DATASET_MAPPER_NAME names.

    Args:
        changes: arguments of the mapper that replace those from the config.

    Raises:
        ValueError: if there is none of that name.
    """
    name = cfg.INPUT.DATASET_MAPPER_NAME
    if name not in MAPPERS:
        raise ValueError(f"INPUT.DATASET_MAPPER_NAME is {name!r}, expected one of {sorted(MAPPERS)}.")
    return MAPPERS[name](cfg, is_train, **changes)
