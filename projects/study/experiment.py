"""A group of training runs that share a folder and a dataset: it does what is left of them and collects what is finished."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.synthetic.layouts import write_layout
from imrsf_d2.synthetic.style import SceneStyle, SensorStyle
from imrsf_d2.utils.errors import InputError
from projects.study.plan import Model, Run, choose_runs, planned_runs
from projects.study.runs import (
    FINAL_WEIGHTS,
    WEIGHTS,
    Outcome,
    config_digest,
    describe_changes,
    perform,
    read_origin,
    read_outcome,
)

__all__ = ["Experiment"]

LAYOUT = "dfc2023"
STYLES = {"scene": SceneStyle, "sensors": SensorStyle}


class Experiment:
    """Training runs that are compared with each other.

    A finished run is kept and an interrupted one is resumed, but only if its settings are still the same: its config, its
    data and, if it starts from another run's weights, those weights.

    Args:
        models: the models to train.
        configs: folder with a config per model.
        data: arguments of `write_layout`, as JSON; of the styles, only what differs from their defaults.
        output: gets data/ and a folder per run.
        only: models or runs to work on (see `choose_runs`); none means all.
        opts: KEY VALUE overrides of every run's config.

    Raises:
        InputError: on a name or an override that the experiment does not take.
    """

    def __init__(
        self,
        models: Sequence[Model],
        configs: Path,
        data: Mapping,
        output: Path,
        *,
        only: Sequence[str] = (),
        opts: Sequence[str] = (),
    ):
        self.data, self.configs, self.output = data, configs, output.resolve()
        self.runs = planned_runs(models)
        self.chosen = choose_runs(only, self.runs)
        started = any(run.origin for run in self.runs)
        for key in ("SEED", "OUTPUT_DIR", *[WEIGHTS] * started):
            if key in opts[::2]:
                raise InputError(f"{key} is set for each run by the plan in projects/study; leave it out of the overrides.")
        # The datasets are registered below this root when a config is loaded.
        os.environ["DETECTRON2_DATASETS"] = str(self.output / "data")
        self._cfgs = {run: load_config(run.config_file(configs), [*opts, *self._own_settings(run)]) for run in self.runs}

    def folder(self, run: Run) -> Path:
        """The folder of a run."""
        return self.output / run.name

    def config(self, run: Run) -> CfgNode:
        """The config of a run."""
        return self._cfgs[run]

    def config_digest(self, run: Run) -> str:
        """Twelve hex digits that two runs share if their configs are the same but for the seed and for paths."""
        return config_digest(self._cfgs[run], besides=self._free_keys(run))

    def work(self) -> None:
        """Do what is left of the chosen runs.

        Raises:
            InputError: if one of them, or the data, were made with other settings.
        """
        for run in self.chosen:
            if changes := self._describe_changes(run):
                raise InputError(
                    f"{self.folder(run)} was made {changes}. Remove that folder to run it again, or keep "
                    "it and give another --output."
                )
        self._write_data()
        for number, run in enumerate(self.chosen, start=1):
            finished = read_outcome(self.folder(run)) is not None
            state = "finished earlier, kept" if finished else "running"
            print(f"[{number}/{len(self.chosen)}] {run.name}: {state}", flush=True)
            if not finished:
                origin = self._final_weights(run.origin) if run.origin else None
                perform(self._cfgs[run], run.config_file(self.configs), self.data, origin)

    def collect(self) -> tuple[dict[Run, Outcome], dict[Run, str]]:
        """The outcomes of the finished runs, and for every other run the reason why it has none."""
        outcomes, missing = {}, {}
        for run in self.runs:
            outcome = read_outcome(self.folder(run))
            if changes := self._describe_changes(run):
                missing[run] = f"made {changes}"
            elif outcome is not None and outcome.record["data"] != self.data:
                missing[run] = f"made on other data ({outcome.record['data']})"
            elif outcome is not None:
                outcomes[run] = outcome
            else:
                missing[run] = "begun, not finished" if self.folder(run).is_dir() else "not begun"
        return outcomes, missing

    def describe_data(self) -> str:
        """The dataset in one phrase."""
        data = self.data
        styles = ", ".join(f"`{key}` {value}" for name in STYLES for key, value in data.get(name, {}).items())
        return (
            f"{data['num_train']} training and {data['num_val']} validation tiles of {data['size']} px, synthetic, in the layout "
            f"of {LAYOUT}, from different cities, seed {data['seed']}"
            + (f"; settings that are not the generator's defaults: {styles}" if styles else "")
        )

    def _own_settings(self, run: Run) -> list[str]:
        settings = ["SEED", str(run.seed), "OUTPUT_DIR", str(self.folder(run))]
        return [*settings, WEIGHTS, str(self.folder(run.origin) / FINAL_WEIGHTS)] if run.origin else settings

    def _free_keys(self, run: Run) -> list[str]:
        """Keys in which a run's config may change without making it another run."""
        return [WEIGHTS] if run.origin else []

    def _describe_changes(self, run: Run) -> str:
        """The other settings that a run was made with; empty if it was not begun, or was made with these."""
        if changes := describe_changes(self._cfgs[run], besides=self._free_keys(run)):
            return f"with another config ({changes})"
        begun_with = read_origin(self.folder(run))
        if run.origin is None or not begun_with:
            return ""
        if changes := self._describe_changes(run.origin):
            return f"from {run.origin.name}, and that {changes}"
        if begun_with != self._final_weights(run.origin):
            return f"from weights of {run.origin.name} that are no longer there"
        return ""

    def _final_weights(self, run: Run) -> str | None:
        """The digest of the weights that a finished pre-training run ended with."""
        outcome = read_outcome(self.folder(run))
        return None if outcome is None else outcome.record["weights"]

    def _write_data(self) -> None:
        folder = self.output / "data" / LAYOUT
        print(f"Data: {self.describe_data()}.", flush=True)
        styles = {name: style(**self.data.get(name, {})) for name, style in STYLES.items()}
        try:
            write_layout(LAYOUT, folder, progress=sys.stderr.isatty(), **{**self.data, **styles})
        except FileExistsError as error:
            raise InputError(
                f"{folder} holds other data than these, and the runs beside it were trained on them. "
                "Remove both to start again, or keep them and give another --output."
            ) from error
