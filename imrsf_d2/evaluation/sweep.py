"""One model, every subset of its modalities: what remains of the score when sensors are missing."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Sequence

from detectron2.config import CfgNode
from detectron2.evaluation import inference_on_dataset
from detectron2.utils import comm
from torch import nn

from imrsf_d2.atomic import write_text
from imrsf_d2.data.loaders import build_test_loader, read_test_samples
from imrsf_d2.evaluation.build import build_evaluator
from imrsf_d2.evaluation.report import main_score
from imrsf_d2.modalities import ModalitySet, subset_label
from imrsf_d2.precision import autocast

__all__ = ["RESULTS_FILE", "sweep_subsets"]

logger = logging.getLogger(__name__)

RESULTS_FILE = "modalities.json"


def sweep_subsets(cfg: CfgNode, model: nn.Module, dataset_name: str, subsets: Iterable[Sequence[str]] | None = None,
                  output_dir: str | None = None) -> list[dict]:
    """Evaluate a model on one data set with each subset of the modalities.

    Args:
        cfg: the config the model was built from.
        model: with its weights loaded.
        dataset_name: a registered data set.
        subsets: names of modalities; None = all 2^M - 1 non-empty subsets, largest first.
        output_dir: gets `modalities.json` (rewritten after each subset), and the predictions of each subset in a folder
            of its name; None writes nothing.

    Returns:
        One row per subset, in order: {"modalities": [names], "results": {"segm": {"AP": ...}, ...}, "images": number,
        "seconds": wall-clock}. On other processes than the first, `results` is empty.

    Raises:
        ValueError: if a subset names an unknown modality or one twice.
    """
    modalities = ModalitySet.from_config(cfg)
    wanted = modalities.subsets() if subsets is None else [modalities.check_subset(s, "subsets") for s in subsets]
    # Read once: the labels of a large data set take longer than a subset of its images.
    samples = read_test_samples(cfg, dataset_name)
    evaluator = build_evaluator(cfg, dataset_name)
    rows = []
    for number, subset in enumerate(wanted, start=1):
        label = subset_label(subset)
        logger.info("Subset %d of %d: %s", number, len(wanted), label)
        evaluator.output_dir = os.path.join(output_dir, label) if output_dir else None
        loader = build_test_loader(cfg, dataset_name, modalities=subset, samples=samples)
        start = time.perf_counter()
        with autocast(cfg):
            results = inference_on_dataset(model, loader, evaluator)
        rows.append({"modalities": list(subset), "results": results, "images": len(loader.dataset),
                     "seconds": round(time.perf_counter() - start, 2)})
        if output_dir and comm.is_main_process():
            write_text(os.path.join(output_dir, RESULTS_FILE),
                       json.dumps({"dataset": dataset_name, "weights": cfg.MODEL.WEIGHTS, "rows": rows}, indent=1))
        if results:
            logger.info("%s: %s %s %.1f", label, *main_score(results))
    return rows
