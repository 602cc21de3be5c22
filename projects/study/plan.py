"""Runs, their names and their order; and which models the study trains, from which seeds, on how much data.

Everything else about the study's models is in projects/study/configs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.utils.errors import InputError

__all__ = [
    "BASELINE",
    "BASELINE_LONGER",
    "DATA",
    "LONGER",
    "MODELS",
    "PROPOSED",
    "PROPOSED_LONGER",
    "Model",
    "Run",
    "choose_runs",
    "planned_runs",
]


@dataclass(frozen=True)
class Model:
    """A model that is trained to be compared with others.

    Args:
        name: of its config, <name>.yaml.
        title: in tables and pictures.
        changes: the keys in which its config differs from that of the model it is compared with, and no others.
        seeds: one run each; of the initial weights, the order and augmentation of the samples, their random subsets and
            the points at which losses are sampled. The data are the same for all.
        origin: the model whose weights it starts from, those of its first seed; None for random ones.
    """

    name: str
    title: str
    changes: tuple[str, ...]
    seeds: tuple[int, ...]
    origin: Model | None = None


@dataclass(frozen=True)
class Run:
    """One training of one model."""

    model: Model
    seed: int

    @property
    def name(self) -> str:
        """Of its folder, and after `--only`."""
        return f"{self.model.name}-seed{self.seed}"

    @property
    def origin(self) -> Run | None:
        """The run whose weights it starts from; None for random ones."""
        return self.model.origin and Run(self.model.origin, self.model.origin.seeds[0])

    def config_file(self, configs: Path) -> Path:
        """Its config in a folder of one per model."""
        return configs / f"{self.model.name}.yaml"


BILSTM, MASK, ABSENT = "MODEL.IMRSF.BILSTM", "MODEL.IMRSF.MASKED_ATTENTION", "MODEL.IMRSF.ABSENT"
RANDOM = "INPUT.MODALITY_DROPOUT.ENABLED"

PROPOSED = Model("proposed", "proposed", (), seeds=(1, 2, 3))
BASELINE = Model("multivit", "MultiViT", (BILSTM, MASK, ABSENT, RANDOM), seeds=(1, 2, 3))
MODELS = (
    PROPOSED,
    BASELINE,
    Model("without_random_combination", "w/o random combination", (RANDOM,), seeds=(1,)),
    Model("without_lstm", "w/o LSTM", (BILSTM,), seeds=(1,)),
    Model("without_mask", "w/o mask", (MASK,), seeds=(1,)),
)
LENGTH = ("SOLVER.MAX_ITER", "SOLVER.STEPS")
#: How far apart the two are depends on how long both are trained, so they are compared once more after twice as long.
PROPOSED_LONGER = Model("proposed_longer", "proposed, longer", LENGTH, seeds=(1,))
BASELINE_LONGER = Model("multivit_longer", "MultiViT, longer", (*BASELINE.changes, *LENGTH), seeds=(1,))
LONGER = (PROPOSED_LONGER, BASELINE_LONGER)

#: In what the study's data differ from the defaults of `SceneStyle` and `SensorStyle`. As in the paper's Table I, an optical
#: image is nearly enough by itself, elevation is what a model that has everything relies on, and SAR alone shows something.
#: With the defaults no sensor is enough, and SAR adds next to nothing to the other two.
STYLE_CHANGES = {
    "scene": {"camouflage": 0.03, "unsurveyed": 0.02, "decoys": [0.0, 1.0], "groves": [0.5, 2.0], "row_same_height": 0.3},
    "sensors": {
        "sar_looks": 24.0,
        "sar_cell_px": 2,
        "sar_shift_px": 1.0,
        "sar_wall": 2.0,
        "sar_wall_spread": 0.4,
        "dsm_cell_px": 2,
        "dsm_warp_px": 0.6,
        "dsm_noise_m": 0.5,
    },
}
#: scale -> the synthetic data in the layout of DFC2023, as arguments of `write_dfc2023`, its styles as what differs from
#: their defaults. Cities are disjoint.
DATA = {
    "cpu": {"num_train": 400, "num_val": 200, "size": 64, "seed": 0, **STYLE_CHANGES},
    "gpu": {"num_train": 2000, "num_val": 400, "size": 256, "seed": 0, **STYLE_CHANGES},
}


def planned_runs(models: Sequence[Model]) -> list[Run]:
    """All runs in order: each model once before any a second time, so that an interrupted study compares them all."""
    runs = [(place, Run(model, seed)) for model in models for place, seed in enumerate(model.seeds)]
    return [run for _, run in sorted(runs, key=lambda item: item[0])]


def choose_runs(names: Sequence[str], runs: Sequence[Run]) -> list[Run]:
    """The runs that are named, and those whose weights they start from.

    Args:
        names: of models or of runs, `multivit` or `multivit-seed2`; none means all.
        runs: to choose from; they keep their order.

    Raises:
        ValueError: if a name is neither.
    """
    known = {*(run.name for run in runs), *(run.model.name for run in runs)}
    for name in names:
        if name not in known:
            raise InputError(f"--only names {name!r}, expected a model or a run: {', '.join(sorted(known))}.")
    chosen = {run for run in runs if not names or run.name in names or run.model.name in names}
    chosen |= {run.origin for run in chosen if run.origin}
    return [run for run in runs if run in chosen]
