"""The sweep over all subsets of the sensors for a model of transformers. Needs detectron2, whose evaluators ours are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from transformers import Mask2FormerForUniversalSegmentation

from imrsf_d2.evaluation.build import dataset_task
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.hf.segmenter import SampleSegmenter
from imrsf_d2.modalities import Modality, computed_part
from imrsf_d2.utils.errors import InputError

__all__ = ["sweep_model"]


def sweep_model(
    cfg: CfgNode,
    model: Mask2FormerForUniversalSegmentation,
    dataset_name: str,
    subsets: Iterable[Sequence[str]] | None = None,
    output_dir: str | None = None,
) -> list[dict]:
    """Evaluate a model of transformers on one dataset with each subset of the modalities.

    Args:
        cfg: says how to read the dataset: a config for it with the model's modalities. What it says of the model is not used.
        model: with our backbone.
        dataset_name: a registered dataset, or DIR/dataset.yaml:val.
        subsets, output_dir: see `imrsf_d2.evaluation.sweep.sweep_subsets`.

    Returns:
        One row of scores per subset, as from `sweep_subsets`.

    Raises:
        ValueError: if the modalities of the config are not those of the model, or a subset names another.
    """
    config = model.config.backbone_config
    described = [Modality.from_mapping(entry).to_mapping() for entry in cfg.MODEL.IMRSF.MODALITIES]
    if computed_part(described) != computed_part(config.modalities):
        raise InputError(
            f"MODEL.IMRSF.MODALITIES is {computed_part(described)}, expected {computed_part(config.modalities)}, those of the "
            "model: in the same order, with the same statistics."
        )
    DatasetCatalog.get(dataset_name)  # which may be what makes its metadata known
    segmenter = SampleSegmenter(model, [dataset_task(dataset_name).output], cfg.TEST.DETECTIONS_PER_IMAGE)
    return sweep_subsets(cfg, segmenter, dataset_name, subsets, output_dir)
