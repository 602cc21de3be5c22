"""Rows, outcomes and scores that no model made."""

import numpy as np

from projects.study.outcomes import Outcome
from projects.study.plan import MODELS, planned_runs
from projects.study.scores import ModelScores

SUBSETS = [("sar", "rgb", "dsm"), ("sar", "rgb"), ("sar", "dsm"), ("rgb", "dsm"), ("sar",), ("rgb",), ("dsm",)]
#: AP50 by subset, from the paper's Table I.
PAPER_PROPOSED = (0.333, 0.296, 0.233, 0.332, 0.040, 0.291, 0.211)
PAPER_MULTIVIT = (0.147, 0.002, 0.064, 0.105, 0.001, 0.003, 0.036)


def rows(values):
    """Like `sweep_subsets`: AP50 as fractions of 1 in the order of SUBSETS; AP is half of it."""
    return [
        {
            "modalities": list(subset),
            "results": {"bbox": {"AP50": 1.0}, "segm": {"AP50": 100 * value, "AP": 50 * value}},
            "images": 9,
            "seconds": 1.0,
        }
        for subset, value in zip(SUBSETS, values, strict=True)
    ]


def three(values, shift=0.01):
    """The scores of three runs whose standard deviation is `shift`."""
    return [np.add(values, change).tolist() for change in (0, shift, -shift)]


def scores(*runs):
    """The scores of a model with these runs."""
    return ModelScores([rows(values) for values in runs])


def outcome(values, **record):
    defaults = {
        "iterations": 1000,
        "batch": 4,
        "parameters": 4_400_000,
        "device": "cpu",
        "machine": "a machine",
        "versions": "imrsf_d2 1",
        "seconds": {"training": 400.0, "evaluation": 40.0},
    }
    return Outcome({**defaults, **record, "validation": rows(values) if values else []})


def outcomes(by_model, models=MODELS):
    """Outcomes of every planned run of some models: model name -> values of its runs, in the order of its seeds."""
    return {
        run: outcome(by_model[run.model.name][run.model.seeds.index(run.seed)])
        for run in planned_runs(models)
        if run.model.name in by_model
    }
