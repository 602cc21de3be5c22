"""Models and their training runs; and which models the study trains, with which seeds, on which data.

All other settings of the study's models are in projects/study/configs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.utils.errors import InputError

__all__ = [
    "BASELINE",
    "BASELINE_LONGER",
    "CONFIGS",
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

#: A folder per group of models that are compared, a config per model.
CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Model:
    """A model that is trained to be compared with others.

    Args:
        name: its config is <name>.yaml.
        title: its name in tables and figures.
        changes: exactly the keys in which its config differs from that of the model it is compared with.
        seeds: one training run each. The seed sets the initial weights, the order and augmentation of the samples, their random
            subsets and the points at which losses are sampled.
        origin: the model from whose weights it starts, those of its first seed; None for random weights.
        data_seeds: of each run, the seed of its training and validation data; without, all have the data as they are given.
        config: its config, if it is that of another model.
        sensor: the only sensor that it knows; None for all of the config.
        members: models, one for each sensor, whose predictions it fuses. It is not trained.
    """

    name: str
    title: str
    changes: tuple[str, ...]
    seeds: tuple[int, ...]
    origin: Model | None = None
    data_seeds: tuple[int, ...] = ()
    config: str = ""
    sensor: str | None = None
    members: tuple[Model, ...] = ()


@dataclass(frozen=True)
class Run:
    """One training run of one model; `data_seed` None has the data as they are given."""

    model: Model
    seed: int
    data_seed: int | None = None

    @property
    def name(self) -> str:
        """The name of its folder, which `--only` takes too."""
        return f"{self.model.name}-seed{self.seed}" + ("" if self.data_seed is None else f"-data{self.data_seed}")

    @property
    def needs(self) -> tuple[Run, ...]:
        """The runs that must be finished before it."""
        origin = (self.origin,) if self.origin else ()
        return (*origin, *(Run(member, self.seed, self.data_seed) for member in self.model.members))

    @property
    def origin(self) -> Run | None:
        """The run from whose weights it starts; None for random weights."""
        origin = self.model.origin
        return None if origin is None else Run(origin, origin.seeds[0])

    def config_file(self, configs: Path) -> Path:
        """Its config in a folder with a config per model."""
        return configs / f"{self.model.config or self.model.name}.yaml"


GATHER, READOUT = "MODEL.IMRSF.GATHER", "MODEL.IMRSF.READOUT"
MASK, ABSENT = "MODEL.IMRSF.MASKED_ATTENTION", "MODEL.IMRSF.ABSENT"
RANDOM = "INPUT.MODALITY_DROPOUT.ENABLED"

PROPOSED = Model("proposed", "proposed", (), seeds=(1, 2, 3))
BASELINE = Model("multivit", "MultiViT", (GATHER, READOUT, MASK, ABSENT, RANDOM), seeds=(1, 2, 3))
MODELS = (
    PROPOSED,
    BASELINE,
    Model("without_random_combination", "w/o random combination", (RANDOM,), seeds=(1,)),
    Model("without_lstm", "w/o LSTM", (GATHER,), seeds=(1,)),
    Model("without_mask", "w/o mask", (MASK,), seeds=(1,)),
)
LENGTH = ("SOLVER.MAX_ITER", "SOLVER.STEPS")
#: How far apart the two are depends on how long they are trained, so they are compared again after twice the iterations.
PROPOSED_LONGER = Model("proposed_longer", "proposed, longer", LENGTH, seeds=(1,))
BASELINE_LONGER = Model("multivit_longer", "MultiViT, longer", (*BASELINE.changes, *LENGTH), seeds=(1,))
LONGER = (PROPOSED_LONGER, BASELINE_LONGER)

#: How the study's data differ from the defaults of `SceneStyle` and `SensorStyle`. As in the paper's Table I, the optical image
#: alone nearly suffices, a model with all sensors relies on elevation, and SAR alone shows some buildings. With the defaults, no
#: sensor suffices alone and SAR adds next to nothing to the other two.
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
#: scale -> the synthetic data in the layout of DFC2023, as arguments of `write_dfc2023`; of its styles, only what differs from
#: the defaults. No city is in both splits.
DATA = {
    "cpu": {"num_train": 400, "num_val": 200, "size": 64, "seed": 0, **STYLE_CHANGES},
    "gpu": {"num_train": 2000, "num_val": 400, "size": 256, "seed": 0, **STYLE_CHANGES},
}


def planned_runs(models: Sequence[Model]) -> list[Run]:
    """All runs in order: every model once before any model again, so that an unfinished study compares as many as possible."""
    runs = [
        (place, Run(model, seed, data_seed))
        for model in models
        for place, (seed, data_seed) in enumerate(
            zip(model.seeds, model.data_seeds or [None] * len(model.seeds), strict=True)
        )
    ]
    return [run for _, run in sorted(runs, key=lambda item: item[0])]


def choose_runs(names: Sequence[str], runs: Sequence[Run]) -> list[Run]:
    """The named runs, and those that they need.

    Args:
        names: models or runs, like `multivit` or `multivit-seed2`; none means all.
        runs: what to choose from; their order is kept.

    Raises:
        InputError: if a name is neither a model nor a run.
    """
    known = {*(run.name for run in runs), *(run.model.name for run in runs)}
    for name in names:
        if name not in known:
            raise InputError(f"--only names {name!r}, expected a model or a run: {', '.join(sorted(known))}.")
    chosen = {run for run in runs if not names or run.name in names or run.model.name in names}
    chosen |= {needed for run in chosen for needed in run.needs}
    return [run for run in runs if run in chosen]
