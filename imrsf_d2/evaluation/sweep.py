"""Evaluation of one model with every subset of its modalities: how much of the score remains if sensors are missing."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence

from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.utils import comm
from torch import nn

from imrsf_d2.data.loaders import build_test_loader, read_test_samples
from imrsf_d2.evaluation.build import build_evaluator
from imrsf_d2.evaluation.coverage import Coverage, warn_of_empty_files, warn_of_tiles_without
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.scores import main_score
from imrsf_d2.evaluation.sensors_read import SensorsRead
from imrsf_d2.evaluation.shared_streams import SubsetModel, shares_streams
from imrsf_d2.evaluation.sweep_data import rows_json
from imrsf_d2.modalities import ModalitySet, subset_label, subset_title
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.precision import autocast

__all__ = ["RESULTS_FILE", "sweep_subsets"]

logger = logging.getLogger(__name__)

RESULTS_FILE = "modalities.json"

Subset = tuple[str, ...]


def sweep_subsets(
    cfg: CfgNode,
    model: nn.Module,
    dataset_name: str,
    subsets: Iterable[Sequence[str]] | None = None,
    output_dir: str | None = None,
    *,
    record: SweepRecord | None = None,
    subsets_per_pass: int = 0,
) -> list[dict]:
    """Evaluate a model on one dataset with each subset of the modalities.

    If the model supports it (`shares_streams`), one pass over the images evaluates several subsets: a sample is read once
    and each modality is encoded once. The predictions for the subsets of a pass are in memory until it ends, and are lost
    if it is interrupted; `subsets_per_pass` limits both.

    Args:
        cfg: the config the model was built from.
        model: with its weights loaded.
        dataset_name: a registered dataset.
        subsets: names of modalities; None = all non-empty subsets of those that at least one tile has, largest first.
        output_dir: gets `modalities.json` (rewritten after each pass), and the predictions for each subset in a folder
            named after it; None writes nothing.
        record: keeps finished subsets, with what each image contributes, so that they are not evaluated again; None
            evaluates all.
        subsets_per_pass: at most this many subsets share a pass; 0 for all.

    Returns:
        One row per subset, in order: {"modalities": [names], "results": {"segm": {"AP": ...}, ...}, "images": number,
        "seconds": wall-clock time of its pass, divided by the number of subsets in it}. In other processes than the
        first, `results` is empty.

    Raises:
        InputError: if a subset names a modality that is unknown, repeated, or that no tile has.
    """
    # Read once: reading the labels of a large dataset takes longer than evaluating a subset.
    samples = read_test_samples(cfg, dataset_name)
    coverage = Coverage.of_samples(dataset_name, samples, ModalitySet.from_config(cfg))
    wanted = coverage.choose(subsets, "subsets")
    # All processes read the record before the first pass, as nothing is recorded before all of them take part in it.
    rows = {subset: record.row(subset) for subset in wanted if record is not None and record.has(subset)}
    missing = [subset for subset in dict.fromkeys(wanted) if subset not in rows]
    if rows:
        logger.info("%d of %d subsets are already finished and kept", len(rows), len(wanted))
    if not missing:
        return [rows[subset] for subset in wanted]
    for name in coverage.absent:
        logger.warning("No tile of %r has %r: the subsets are those of the other sensors.", dataset_name, name)
    warn_of_tiles_without(coverage, missing)
    blank = build_evaluator(cfg, dataset_name)
    size = (subsets_per_pass or len(missing)) if shares_streams(model) else 1
    passes = [missing[start : start + size] for start in range(0, len(missing), size)]
    read: dict[str, list] = {}
    for number, group in enumerate(passes, start=1):
        logger.info(
            "Pass %d of %d: %d images, subsets %s", number, len(passes), len(samples), ", ".join(map(subset_label, group))
        )
        evaluators = {subset: _evaluator(blank, subset, output_dir) for subset in group}
        start = time.perf_counter()
        results, sensors = _run_pass(cfg, model, dataset_name, samples, evaluators)
        seconds = round((time.perf_counter() - start) / len(group), 2)
        for subset in group:
            rows[subset] = {
                "modalities": list(subset),
                "results": results[subset],
                "images": len(samples),
                "seconds": seconds,
            }
            if results[subset]:
                logger.info("%s: %s %s %.1f %%", subset_title(subset), *main_score(results[subset]))
            if comm.is_main_process():
                own = sensors.images_with(subset, coverage.image_ids)
                read |= own
                if record is not None:
                    record.keep(rows[subset], evaluators[subset].per_image(), own)
        if output_dir and comm.is_main_process():
            done = [rows[subset] for subset in wanted if subset in rows]
            write_text(os.path.join(output_dir, RESULTS_FILE), rows_json(dataset_name, cfg.MODEL.WEIGHTS, done))
    warn_of_empty_files(coverage.with_data(read))
    return [rows[subset] for subset in wanted]


def _evaluator(blank: DatasetEvaluator, subset: Subset, output_dir: str | None) -> DatasetEvaluator:
    """An evaluator for one subset, which shares the labels with the others."""
    evaluator = copy.copy(blank)
    evaluator.reset()
    evaluator.output_dir = os.path.join(output_dir, subset_label(subset)) if output_dir else None
    return evaluator


def _run_pass(
    cfg: CfgNode, model: nn.Module, dataset_name: str, samples: Sequence[dict], evaluators: Mapping[Subset, DatasetEvaluator]
) -> tuple[dict[Subset, dict], SensorsRead]:
    """Evaluate several subsets in one pass over the images; returns their scores, and which sensors had data."""
    used = {name for subset in evaluators for name in subset}
    names = [name for name in ModalitySet.from_config(cfg).names if name in used]
    loader = build_test_loader(cfg, dataset_name, modalities=names, samples=samples)
    sensors = SensorsRead()
    predictor = model if len(evaluators) == 1 else SubsetModel(model, evaluators)
    with autocast(cfg):
        return inference_on_dataset(predictor, loader, _SubsetEvaluators(evaluators, sensors)), sensors


class _SubsetEvaluators(DatasetEvaluator):
    """Passes the outputs of a `SubsetModel`, or of a model for a single subset, to one evaluator per subset."""

    def __init__(self, evaluators: Mapping[Subset, DatasetEvaluator], sensors: SensorsRead):
        self._evaluators = evaluators
        self._sensors = sensors

    def reset(self) -> None:
        for evaluator in (*self._evaluators.values(), self._sensors):
            evaluator.reset()

    def process(self, inputs: list[dict], outputs: Iterable) -> None:
        self._sensors.process(inputs, outputs)
        # The outputs of a `SubsetModel` are computed here, one subset after the other.
        by_subset = [outputs] if len(self._evaluators) == 1 else outputs
        for evaluator, output in zip(self._evaluators.values(), by_subset, strict=True):
            evaluator.process(inputs, output)

    def evaluate(self) -> dict[Subset, dict]:
        self._sensors.evaluate()
        return {subset: evaluator.evaluate() for subset, evaluator in self._evaluators.items()}
