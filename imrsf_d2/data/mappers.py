"""From a dataset dict to the input of a meta-architecture: draw, read, augment, add the targets.

Sensors that are missing, dropped or unreadable become validity in `imrsf_d2.data.reading`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import BitMasks, Instances

from imrsf_d2.data.geometry import Geometry, draw_geometry
from imrsf_d2.data.heads import is_rcnn
from imrsf_d2.data.labels import IGNORE_LABEL, semantic_truth
from imrsf_d2.data.masks import MIN_INSTANCE_PIXELS, instance_masks
from imrsf_d2.data.modality_dropout import draw_views
from imrsf_d2.data.panoptic import UNLABELED_ID, read_segments
from imrsf_d2.data.photometric import Jitter, read_jitters
from imrsf_d2.data.reading import SampleReader, assemble
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC, SEMANTIC
from imrsf_d2.geo.decibel import from_db, to_db
from imrsf_d2.geo.rasters import Raster
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = [
    "MAPPERS",
    "PRETRAIN_MAPPER",
    "InstanceMapper",
    "PanopticMapper",
    "PretrainMapper",
    "SampleMapper",
    "SemanticMapper",
    "build_mapper",
]

#: The purpose of the generator that draws token masks.
_MASKS = 1


class SampleMapper(ABC):
    """What the samples of all tasks have in common; a task adds its targets.

    A training sample depends only on the seed and on `draw`, its position in the training stream: which modalities it
    keeps (drawn before reading, so that the others are never decoded), its window and scale, how it is turned and
    mirrored, and its jitter.

    Args:
        modalities: the model's modalities.
        is_train: drop modalities, augment, and add the targets.
        dropout: strategy of the modality dropout (training only), or None for none.
        views: of each training sample, see `draw_views`; without dropout, it is complete.
        crop: (height, width) of training samples before turning, px, or None for whole tiles.
        scale: (least, most) factor of the large-scale jitter; (1, 1) is none.
        dihedral: turn and mirror training samples by the eight symmetries of a square.
        jitters: photometric jitter of training samples, by modality.
        keep: the modalities used at test time; the others are never decoded. Empty keeps all.
        align, ignore_places: resample modalities on other grids; do not compare where they lie (see `SampleReader`).
        num_classes: the model's, which label maps are checked against; None does not check them.
        boxes: give objects boxes and BitMasks, as Detectron2's R-CNN takes them.
        seed: of the training samples' generators.
    """

    @configurable
    def __init__(
        self,
        modalities: ModalitySet,
        *,
        is_train: bool,
        dropout: str | None = "uniform",
        views: Sequence[str] = ("drawn",),
        crop: tuple[int, int] | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        dihedral: bool = True,
        jitters: Mapping[str, Jitter] | None = None,
        keep: Sequence[str] = (),
        align: bool = False,
        ignore_places: bool = False,
        num_classes: int | None = None,
        boxes: bool = False,
        seed: int = 0,
    ):
        self.modalities = modalities
        self.is_train = is_train
        self.dropout = dropout
        self.views = tuple(views)
        self.crop = crop
        self.scale = scale
        self.dihedral = dihedral
        self.jitters = dict(jitters or {})
        self.num_classes = num_classes
        self.boxes = boxes
        self.seed = seed
        keep = modalities.names if is_train else modalities.check_subset(keep, "keep")
        self.reader = SampleReader(modalities, keep, tolerant=is_train, align=align, ignore_places=ignore_places)

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True, keep: Sequence[str] | None = None) -> dict:
        """Read INPUT.{ALIGN, IGNORE_PLACES, CROP, SCALE_JITTER, DIHEDRAL, PHOTOMETRIC, MODALITY_DROPOUT, TEST_MODALITIES}
        and SEED.

        Args:
            keep: replaces INPUT.TEST_MODALITIES unless None.
        """
        modalities = ModalitySet.from_config(cfg)
        crop, dropout = cfg.INPUT.CROP, cfg.INPUT.MODALITY_DROPOUT
        if (
            is_train
            and crop.ENABLED
            and (crop.TYPE != "absolute" or len(crop.SIZE) != 2 or any(int(side) != side or side < 1 for side in crop.SIZE))
        ):
            raise InputError(
                f"INPUT.CROP is TYPE {crop.TYPE!r}, SIZE {list(crop.SIZE)}, expected TYPE 'absolute' and "
                "SIZE [height, width] in pixels, e.g. [256, 256]."
            )
        source = "INPUT.TEST_MODALITIES" if keep is None else "the test loader's modalities"
        return {
            "modalities": modalities,
            "is_train": is_train,
            "dropout": dropout.STRATEGY if dropout.ENABLED else None,
            "views": dropout.VIEWS,
            "crop": tuple(int(side) for side in crop.SIZE) if crop.ENABLED else None,
            "scale": tuple(float(factor) for factor in cfg.INPUT.SCALE_JITTER),
            "dihedral": cfg.INPUT.DIHEDRAL,
            "jitters": read_jitters(cfg.INPUT.PHOTOMETRIC, modalities),
            "keep": modalities.check_subset(cfg.INPUT.TEST_MODALITIES if keep is None else keep, source),
            "align": cfg.INPUT.ALIGN,
            "ignore_places": cfg.INPUT.IGNORE_PLACES,
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "boxes": is_rcnn(cfg),
            "seed": max(cfg.SEED, 0),
        }

    def __call__(self, dataset_dict: Mapping) -> dict:
        """Read a sample.

        Args:
            dataset_dict: Detectron2's, with `modalities`, e.g. {"rgb": path, "sar": None} (see datasets/README.md); in
                training with `draw`, which `build_train_loader` adds (without it the sample follows numpy's global
                state, as in Detectron2).

        Returns:
            image [C + M, H, W] float32, not normalized (see `assemble`), then height, width, image_id, file_name, `tile` if the
            dataset dict has it, and `modalities` (the names of those in the image); in training also the targets.

        Raises:
            RasterError: if a file cannot be read at test time, or in training if none of the sample's files can.
            MissingFileError: if the sample has no file of any sensor, or in training of any of the model's.
            ValueError: if files contradict the config, the annotations, or each other.
        """
        sample = {key: dataset_dict[key] for key in ("file_name", "height", "width", "image_id")}
        sample |= {key: dataset_dict[key] for key in ("tile",) if key in dataset_dict}
        size = (dataset_dict["height"], dataset_dict["width"])
        available = tuple(self.reader.paths(dataset_dict))
        if not available and (self.is_train or all(path is None for path in dataset_dict["modalities"].values())):
            raise MissingFileError(
                f"image {dataset_dict['image_id']!r} ({dataset_dict['file_name']}) has no file of any "
                f"modality, expected one of {list(self.modalities.names)}: put the file where the dataset "
                "looks for it, or leave the image out."
            )
        if self.is_train:
            rng = self._generator(dataset_dict)
            views = draw_views(available, rng, self.dropout, self.views) if self.dropout else [available]
            names = [name for name in available if any(name in view for view in views)]
            spare = rng.permutation([name for name in available if name not in names]).tolist()
            geometry = draw_geometry(size, self.crop, self.dihedral, rng, self.scale)
            rasters = self.reader.read(dataset_dict, names, spare, geometry.window(size))
            rasters = self.augment(rasters, geometry.within_window, rng)
            size = geometry.output_size
            sample.update(self.targets(dataset_dict, geometry))
            if len(views) > 1:
                # A modality that could not be read may leave a view with none: it then has what the others have.
                sample["views"] = [tuple(name for name in view if name in rasters) or tuple(rasters) for view in views]
        else:
            rasters = self.reader.read(dataset_dict, available)
        sample["modalities"] = tuple(name for name in self.modalities.names if name in rasters)
        sample["image"] = torch.from_numpy(assemble(self.modalities, rasters, size))
        return sample

    @abstractmethod
    def targets(self, dataset_dict: Mapping, geometry: Geometry) -> dict:
        """The ground truth after `geometry`: further entries of the training sample."""

    def _generator(self, dataset_dict: Mapping, *purpose: int) -> np.random.Generator:
        """The sample's own generator; each purpose has its own, so that none repeats the numbers of another."""
        if "draw" in dataset_dict:
            return np.random.default_rng([self.seed, dataset_dict["draw"], *purpose])
        return np.random.default_rng(np.random.randint(2**31))

    def augment(self, rasters: Mapping[str, Raster], geometry: Geometry, rng: np.random.Generator) -> dict[str, Raster]:
        """Apply one transform to every modality, then jitter those that have a jitter."""
        augmented = {}
        for name, (bands, valid) in rasters.items():
            modality = self.modalities[name]
            if modality.categorical:
                bands, valid = geometry.apply(bands, modality.mean[0]), geometry.apply(valid, False)
            elif modality.in_decibels and geometry.resized:
                # Radar adds up as power: a mean of decibels is too low, and reduces speckle too little.
                power, valid = geometry.apply_measurements(from_db(bands), valid, from_db(np.asarray(modality.mean)))
                bands = to_db(power)
            else:
                bands, valid = geometry.apply_measurements(bands, valid, modality.mean)
            if name in self.jitters:
                bands = self.jitters[name].apply(bands, valid, modality, rng)
            augmented[name] = bands, valid
        return augmented


class InstanceMapper(SampleMapper):
    """Samples for instance segmentation: `instances` with gt_masks [n, H, W] bool and gt_classes.

    With `boxes`, gt_masks are BitMasks, and there are gt_boxes, those of the masks.
    """

    def targets(self, dataset_dict: Mapping, geometry: Geometry) -> dict:
        annotations = [a for a in dataset_dict.get("annotations", ()) if not a.get("iscrowd", 0)]
        try:
            masks, kept = instance_masks(
                annotations, dataset_dict["height"], dataset_dict["width"], geometry, min_pixels=MIN_INSTANCE_PIXELS
            )
        except ValueError as error:
            raise InputError(
                f"image {dataset_dict['image_id']!r} ({dataset_dict['file_name']}): an annotation's "
                f"segmentation cannot be rasterized: {error}."
            ) from error
        instances = _instances(masks, [annotations[i]["category_id"] for i in kept])
        if self.boxes:
            instances.gt_masks = BitMasks(instances.gt_masks)
            instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        return {"instances": instances}


class SemanticMapper(SampleMapper):
    """Samples for semantic segmentation.

    `sem_seg` [H, W] int64 holds class indices and IGNORE_LABEL; `instances` holds the same as MaskFormer needs it, one
    mask per class that occurs. Pixels of IGNORE_LABEL are in no mask.
    """

    def targets(self, dataset_dict: Mapping, geometry: Geometry) -> dict:
        labels = geometry.apply(semantic_truth(dataset_dict, self.num_classes), IGNORE_LABEL)
        classes = [c for c in np.unique(labels).tolist() if c != IGNORE_LABEL]
        masks = labels == np.array(classes, dtype=labels.dtype).reshape(-1, 1, 1)
        return {"sem_seg": torch.from_numpy(labels.astype(np.int64)), "instances": _instances(masks, classes)}


class PanopticMapper(SampleMapper):
    """Samples for panoptic segmentation: `instances` with a mask and a class for each segment, of things and of stuff.

    Crowds and pixels that are not labeled are in no mask; things of which a crop leaves a sliver are left out.
    """

    def targets(self, dataset_dict: Mapping, geometry: Geometry) -> dict:
        whole, segments = read_segments(dataset_dict)
        ids = geometry.apply(whole, UNLABELED_ID)
        pixels = dict(zip(*(values.tolist() for values in np.unique(ids, return_counts=True))))

        def enough(segment: Mapping) -> bool:
            left = pixels.get(segment["id"], 0)
            if left == 0 or left >= MIN_INSTANCE_PIXELS or not segment["isthing"]:
                return left > 0
            return left >= np.count_nonzero(whole == segment["id"])

        kept = [segment for segment in segments if not segment.get("iscrowd", 0) and enough(segment)]
        masks = ids == np.array([segment["id"] for segment in kept], dtype=ids.dtype).reshape(-1, 1, 1)
        return {"instances": _instances(masks, [segment["category_id"] for segment in kept])}


class PretrainMapper(SampleMapper):
    """Samples for pre-training: without labels, with `mask_seed`, from which the visible patches are drawn.

    Like everything random about a sample it depends only on seed and draw, so that masks depend neither on the process
    that handles the sample nor on where the training run was interrupted.
    """

    def targets(self, dataset_dict: Mapping, geometry: Geometry) -> dict:
        return {"mask_seed": int(self._generator(dataset_dict, _MASKS).integers(2**31))}


def _instances(masks: np.ndarray, classes: Sequence[int]) -> Instances:
    instances = Instances(masks.shape[1:])
    instances.gt_masks = torch.from_numpy(masks)
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return instances


#: The INPUT.DATASET_MAPPER_NAME whose training samples have no ground truth.
PRETRAIN_MAPPER = "imrsf_pretrain"
#: INPUT.DATASET_MAPPER_NAME -> class
MAPPERS = {
    INSTANCE.kind: InstanceMapper,
    SEMANTIC.kind: SemanticMapper,
    PANOPTIC.kind: PanopticMapper,
    PRETRAIN_MAPPER: PretrainMapper,
}


def build_mapper(cfg: CfgNode, is_train: bool, **changes):
    """The mapper that INPUT.DATASET_MAPPER_NAME names.

    Args:
        changes: arguments of the mapper that replace those from the config.

    Raises:
        ValueError: if no mapper has that name.
    """
    name = cfg.INPUT.DATASET_MAPPER_NAME
    if name not in MAPPERS:
        raise InputError(f"INPUT.DATASET_MAPPER_NAME is {name!r}, expected one of {sorted(MAPPERS)}.")
    return MAPPERS[name](cfg, is_train, **changes)
