"""The fair study: the proposed model, what may replace its parts, MultiViT read out as MultiMAE is, and what practitioners use.

All other settings are in projects/study/configs/fair*; `READING` says how the scores are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import projects.study.baselines  # noqa: F401 (registers backbones that the configs name)
from projects.study.plan import CONFIGS, DATA, Model

__all__ = ["MODELS", "STUDIES", "Study", "models_of"]

GATHER, READOUT = "MODEL.IMRSF.GATHER", "MODEL.IMRSF.READOUT"
MASK, ABSENT, RANDOM = "MODEL.IMRSF.MASKED_ATTENTION", "MODEL.IMRSF.ABSENT", "INPUT.MODALITY_DROPOUT.ENABLED"
DETAIL = "MODEL.IMRSF.DETAIL"
STRATEGY, VIEWS = "INPUT.MODALITY_DROPOUT.STRATEGY", "INPUT.MODALITY_DROPOUT.VIEWS"
LENGTH = ("SOLVER.MAX_ITER", "SOLVER.STEPS")
RESNET = (
    "MODEL.BACKBONE.NAME",
    "MODEL.BACKBONE.FREEZE_AT",
    *(f"MODEL.RESNETS.{key}" for key in ("NORM", "STRIDE_IN_1X1", "OUT_FEATURES")),
)
SWIN = ("MODEL.BACKBONE.NAME", "MODEL.SWIN.DROP_PATH_RATE")

#: Training seed -> seed of the data. All models have the first three; those whose order the claims are about have all; and
#: candidates for the recipe, which were tried and not taken, have one.
DATA_SEEDS = {1: 0, 2: 1, 3: 0, 4: 1, 5: 0}
ONE, FEW, MANY = 1, 3, 5
SENSORS = ("sar", "rgb", "dsm")


def _model(name: str, title: str, *changes: str, runs: int = FEW, **others) -> Model:
    return Model(name, title, changes, tuple(DATA_SEEDS)[:runs], data_seeds=tuple(DATA_SEEDS.values())[:runs], **others)


PROPOSED = _model("proposed", "proposed (Bi-LSTM)", runs=MANY)
MEAN = _model("mean", "mean for Bi-LSTM", GATHER, runs=MANY)
MULTIVIT = _model("multivit", "MultiViT", GATHER, READOUT, MASK, ABSENT, RANDOM, runs=MANY)
BEST = _model("best", "the recipe: mean + Bi-LSTM, details, sizes drawn first", GATHER, DETAIL, STRATEGY, runs=MANY)
SINGLE = tuple(_model(f"single_{name}", f"{name} alone", config="single", sensor=name) for name in SENSORS)
SINGLE_SHORT = tuple(
    _model(f"single_{name}_short", f"{name} alone, a third of the budget", config="single_short", sensor=name)
    for name in SENSORS
)
MODELS = (
    PROPOSED,
    MEAN,
    MULTIVIT,
    _model("multivit_random_combination", "MultiViT, random combination", GATHER, READOUT, MASK, ABSENT),
    _model("without_mask", "w/o mask", MASK),
    _model("resnet", "ResNet-50, stacked", *RESNET),
    _model("resnet_complete", "ResNet-50, complete input", *RESNET, RANDOM),
    _model("swin", "Swin-T, stacked", *SWIN),
    *SINGLE,
    _model("late_fusion", "late fusion, three budgets", members=SINGLE),
    *SINGLE_SHORT,
    _model("late_fusion_short", "late fusion, one budget", config="late_fusion", members=SINGLE_SHORT),
    _model("best_longer", "the recipe, three budgets", GATHER, DETAIL, STRATEGY),
    _model("modalities_without_mask", "MultiViT that skips absent sensors", GATHER, READOUT, MASK, runs=MANY),
    BEST,
    _model("mean_bilstm", "mean + Bi-LSTM", GATHER),
    _model("mean_bilstm_detail", "mean + Bi-LSTM, details", GATHER, DETAIL),
    _model("mean_detail", "mean, details", GATHER, DETAIL),
    _model("mean_detail_sizes", "the recipe without the Bi-LSTM", GATHER, DETAIL, STRATEGY),
    _model(
        "modalities_sizes",
        "MultiViT that skips absent sensors, sizes drawn first",
        GATHER,
        READOUT,
        MASK,
        STRATEGY,
        runs=ONE,
    ),
    _model("modalities_detail_sizes", "the recipe without fusion tokens", GATHER, READOUT, MASK, DETAIL, STRATEGY),
    _model("multivit_detail", "MultiViT, details", GATHER, READOUT, MASK, ABSENT, RANDOM, DETAIL, runs=ONE),
    _model("best_views", "the recipe, two views", GATHER, DETAIL, STRATEGY, VIEWS, runs=ONE),
    _model("proposed_sizes", "proposed, sizes drawn first", STRATEGY, runs=ONE),
    _model("modalities", "no fusion in the encoder", GATHER, READOUT, runs=ONE),
    _model("mean_without_mask", "mean, w/o mask", GATHER, MASK, runs=ONE),
    _model("mean_masked_first", "mean, eq. 4 in half the blocks", GATHER, "MODEL.IMRSF.MASKED_BLOCKS", runs=ONE),
    _model("mean_averaged", "mean, weights averaged", GATHER, "SOLVER.EMA", runs=ONE),
    _model("mean_last_block", "mean, maps of the last block", GATHER, "MODEL.IMRSF.OUT_LAYERS", runs=ONE),
    _model("modalities_detail", "MultiViT that skips absent sensors, details", GATHER, READOUT, MASK, DETAIL, runs=ONE),
    _model(
        "modalities_detail_views",
        "MultiViT that skips absent sensors, details, two views",
        GATHER,
        READOUT,
        MASK,
        DETAIL,
        VIEWS,
        runs=ONE,
    ),
)
#: Those that the other tasks have, too.
FINALISTS = ("proposed", "mean", "multivit", "modalities_without_mask", "best", "resnet")


@dataclass(frozen=True)
class Study:
    """One task.

    Args:
        title: of the report.
        configs: folder with a config per model.
        layout: of the data.
        data, test: arguments of `write_layout`. The seed of `data` is that of each run; `test` is the same for all runs, from other
            seeds than any of them.
        results: the report, from the root of the repository.
    """

    title: str
    configs: Path
    layout: str
    data: Mapping
    test: Mapping
    results: str


BUILDINGS = DATA["cpu"]
LAND_COVER = {"num_train": 400, "num_val": 200, "size": 64, "seed": 0}
#: name -> task. The test tiles are the validation tiles of a dataset of its own.
STUDIES = {
    "instance": Study(
        "Buildings as instances",
        CONFIGS / "fair",
        "dfc2023",
        BUILDINGS,
        {**BUILDINGS, "num_train": 1, "num_val": 400, "seed": 1000},
        "docs/results.md",
    ),
    "semantic": Study(
        "Buildings as a map",
        CONFIGS / "fair_semantic",
        "dfc2023",
        BUILDINGS,
        {**BUILDINGS, "num_train": 1, "num_val": 400, "seed": 1000},
        "docs/results_semantic.md",
    ),
    "land_cover": Study(
        "Land cover",
        CONFIGS / "fair_land_cover",
        "quadruplets",
        LAND_COVER,
        {**LAND_COVER, "num_train": 1, "num_val": 400, "seed": 1000},
        "docs/results_land_cover.md",
    ),
}


def models_of(study: Study) -> tuple[Model, ...]:
    """The models of a task: all for instances; for the others the finalists, with few runs of each."""
    if study is STUDIES["instance"]:
        return MODELS
    finalists = [model for model in MODELS if model.name in FINALISTS]
    return tuple(replace(model, seeds=model.seeds[:FEW], data_seeds=model.data_seeds[:FEW]) for model in finalists)
