"""Runs that share a folder and a dataset: what is left of them is done, what is there is collected."""

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
from projects.study.runs import FINAL_WEIGHTS, WEIGHTS, Outcome, describe_changes, perform, read_origin, read_outcome

__all__ = ["Experiment"]

LAYOUT = "dfc2023"
STYLES = {"scene": SceneStyle, "sensors": SensorStyle}


class Experiment:
    """Trainings that are compared with each other.

    A run is kept when it is finished, continued when it is not, and never mixed with those of other settings: another
    config, other data, or weights of a run that was made anew since.

    Args:
        models: what is trained.
        configs: folder of a config per model.
        data: of what the synthetic dataset is made, arguments of `write_layout` in JSON; its styles as what differs
            from their defaults.
        output: gets data/ and a folder per run.
        only: models or runs to work on (see `choose_runs`); none means all.
        opts: KEY VALUE overrides of every run's config.

    Raises:
        ValueError: on a name or an override that the experiment does not take.
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
                raise InputError(f"{key} is set for each run by the plan in imrsf_d2/study; leave it out of the overrides.")
        # The datasets are registered below this root when a configuration is loaded.
        os.environ["DETECTRON2_DATASETS"] = str(self.output / "data")
        self._cfgs = {run: load_config(run.config_file(configs), [*opts, *self._own_settings(run)]) for run in self.runs}

    def folder(self, run: Run) -> Path:
        """Where a run is."""
        return self.output / run.name

    def config(self, run: Run) -> CfgNode:
        """What a run is made with."""
        return self._cfgs[run]

    def work(self) -> None:
        """Do what is left of the chosen runs.

        Raises:
            ValueError: if one of them, or the data, were made with other settings.
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
            state = "finished earlier, kept." if finished else "runs"
            print(f"[{number}/{len(self.chosen)}] {run.name}: {state}", flush=True)
            if not finished:
                perform(
                    self._cfgs[run], run.config_file(self.configs), self.data, run.origin and self._final_weights(run.origin)
                )

    def collect(self) -> tuple[dict[Run, Outcome], dict[Run, str]]:
        """What there is of each run, and why there is nothing of the others."""
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
        """The data in one sentence."""
        data = self.data
        return (
            f"{data['num_train']} training and {data['num_val']} validation tiles of {data['size']} px in the layout "
            f"of {LAYOUT}, of other cities each (seed {data['seed']}{self._describe_styles()})."
        )

    def _describe_styles(self) -> str:
        changes = [
            f"`{key}` {_number_or_range(value)} instead of {_number_or_range(getattr(style(), key))}"
            for name, style in STYLES.items()
            for key, value in self.data.get(name, {}).items()
        ]
        return "; not the generator's defaults, but " + ", ".join(changes) if changes else ""

    def _own_settings(self, run: Run) -> list[str]:
        settings = ["SEED", str(run.seed), "OUTPUT_DIR", str(self.folder(run))]
        return [*settings, WEIGHTS, str(self.folder(run.origin) / FINAL_WEIGHTS)] if run.origin else settings

    def _describe_changes(self, run: Run) -> str:
        """With which other settings a run was made; empty if it was not begun, or with these."""
        if changes := describe_changes(self._cfgs[run], besides=[WEIGHTS] * bool(run.origin)):
            return f"with another config ({changes})"
        begun_with = run.origin and read_origin(self.folder(run))
        if not begun_with:
            return ""
        if changes := self._describe_changes(run.origin):
            return f"from {run.origin.name}, and that {changes}"
        if begun_with != self._final_weights(run.origin):
            return f"from weights of {run.origin.name} that are no longer there"
        return ""

    def _final_weights(self, run: Run) -> str | None:
        """The digest of the weights that a finished pre-training ended with."""
        outcome = read_outcome(self.folder(run))
        return outcome and outcome.record["weights"]

    def _write_data(self) -> None:
        folder = self.output / "data" / LAYOUT
        print(f"Data: {self.describe_data()}", flush=True)
        styles = {name: style(**self.data.get(name, {})) for name, style in STYLES.items()}
        try:
            write_layout(LAYOUT, folder, progress=sys.stderr.isatty(), **{**self.data, **styles})
        except FileExistsError as error:
            raise InputError(
                f"{folder} holds other data than these, and the runs beside it were trained on them. "
                "Remove both to start again, or keep them and give another --output."
            ) from error


def _number_or_range(value: float | Sequence[float]) -> str:
    return " to ".join(map(str, value)) if isinstance(value, Sequence) else str(value)
