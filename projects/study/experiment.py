"""A group of training runs that share a folder and a dataset: it does what is left of them and collects what is finished."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode

from imrsf_d2.engine.checkpointer import LAST, Checkpointer
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.synthetic.layouts import write_layout
from imrsf_d2.synthetic.style import SceneStyle, SensorStyle
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.locks import sole_user
from projects.study.lanes import Lanes
from projects.study.late_fusion import LateFusion
from projects.study.outcomes import RECORD_FILE, Outcome, read_outcome
from projects.study.plan import Model, Run, choose_runs, planned_runs
from projects.study.runs import FINAL_WEIGHTS, WEIGHTS, config_digest, describe_changes, perform, read_origin

__all__ = ["Experiment"]

STYLES = {"scene": SceneStyle, "sensors": SensorStyle}


class Experiment:
    """Training runs that are compared with each other.

    A finished run is kept and an interrupted one is resumed, but only if its settings are still the same: its config, its
    data and, if it starts from another run's weights, those weights.

    Args:
        models: the models to train.
        configs: folder with a config per model.
        data: arguments of `write_layout`, as JSON; of the styles, only what differs from their defaults.
        output: gets data/ and a folder per run. Runs with a data seed have data-seedK/ instead.
        layout: of the data.
        test: likewise, of the test data; without, runs are evaluated on the validation data alone. Their validation tiles are
            what is tested on.
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
        layout: str = "dfc2023",
        test: Mapping | None = None,
        only: Sequence[str] = (),
        opts: Sequence[str] = (),
    ):
        self.data, self.configs, self.output = data, configs, output.resolve()
        self.layout, self.test = layout, test
        self.runs = planned_runs(models)
        self.chosen = choose_runs(only, self.runs)
        started = any(run.origin for run in self.runs)
        for key in ("SEED", "OUTPUT_DIR", *[WEIGHTS] * started):
            if key in opts[::2]:
                raise InputError(f"{key} is set for each run by the plan in projects/study; leave it out of the overrides.")
        # The datasets are registered below this root when a config is loaded.
        os.environ["DETECTRON2_DATASETS"] = str(self._root(self.runs[0]))
        self._opts = list(opts)
        self._cfgs: dict[Model, CfgNode] = {}
        for run in {run.model: run for run in self.chosen}.values():  # finds mistakes before any work
            self.config(run)

    def folder(self, run: Run) -> Path:
        """The folder of a run."""
        return self.output / run.name

    def config(self, run: Run) -> CfgNode:
        """The config of a run."""
        model = run.model
        if model not in self._cfgs:
            self._cfgs[model] = load_config(run.config_file(self.configs), [*self._opts, *self._sensor_settings(run)])
        cfg = self._cfgs[model].clone()
        cfg.defrost()
        cfg.SEED, cfg.OUTPUT_DIR = run.seed, str(self.folder(run))
        if run.origin:
            cfg.MODEL.WEIGHTS = str(self.folder(run.origin) / FINAL_WEIGHTS)
        cfg.freeze()
        return cfg

    def config_digest(self, run: Run) -> str:
        """Twelve hex digits that two runs share if their configs are the same but for the seed and for paths."""
        return config_digest(self.config(run), besides=self._free_keys(run))

    def work(self, lanes: Lanes | None = None) -> None:
        """Do what is left of the chosen runs.

        Args:
            lanes: do the runs in processes of their own; None does them here, one after the other.

        Raises:
            InputError: if one of them, or the data, were made with other settings; if another process is at one of them; or if
                the process of one ended with an error.
        """
        for run in self.chosen:
            if changes := self._describe_changes(run):
                raise InputError(
                    f"{self.folder(run)} was made {changes}. Remove that folder to run it again, or keep "
                    "it and give another --output."
                )
        self._write_data()
        if lanes is not None:
            waiting = [run for run in self.chosen if read_outcome(self.folder(run)) is None]
            print(f"{len(waiting)} of {len(self.chosen)} runs are left.", flush=True)
            lanes.work(waiting)
            return
        for number, run in enumerate(self.chosen, start=1):
            with sole_user(self.folder(run)):
                finished = read_outcome(self.folder(run)) is not None
                state = "finished earlier, kept" if finished else "running"
                print(f"[{number}/{len(self.chosen)}] {run.name}: {state}", flush=True)
                if not finished:
                    self._perform(run)

    def _perform(self, run: Run) -> None:
        self._check_needed_weights(run)
        origin = self._final_weights(run.origin) if run.origin else None
        roots = self._root(run), None if self.test is None else self.output / "data-test"
        build = (lambda: self._fuse(run)) if run.model.members else None
        perform(
            self.config(run),
            run.config_file(self.configs),
            self._data(run),
            origin,
            roots=roots,
            test_data=self.test,
            build=build,
        )

    def collect(self) -> tuple[dict[Run, Outcome], dict[Run, str]]:
        """The outcomes of the finished runs, and for every other run the reason why it has none."""
        outcomes, missing = {}, {}
        for run in self.runs:
            if not self.folder(run).is_dir():
                missing[run] = "not begun"
                continue
            outcome = read_outcome(self.folder(run))
            if changes := self._describe_changes(run):
                missing[run] = f"made {changes}"
            elif outcome is not None and outcome.record["data"] != self._data(run):
                missing[run] = f"made on other data ({outcome.record['data']})"
            elif outcome is not None and outcome.record.get("test_data", self.test) != self.test:
                missing[run] = f"tested on other data ({outcome.record['test_data']})"
            elif outcome is not None:
                outcomes[run] = outcome
            else:
                missing[run] = "begun, not finished"
        return outcomes, missing

    def describe_data(self) -> str:
        """The dataset in one phrase."""
        data = self.data
        seeds = sorted({self._data(run)["seed"] for run in self.runs})
        styles = ", ".join(f"`{key}` {value}" for name in STYLES for key, value in data.get(name, {}).items())
        return (
            f"{data['num_train']} training and {data['num_val']} validation tiles of {data['size']} px, synthetic, in the layout "
            f"of {self.layout}, from different cities, seed {' or '.join(map(str, seeds))}"
            + (f"; settings that are not the generator's defaults: {styles}" if styles else "")
        )

    def _sensor_settings(self, run: Run) -> list[str]:
        """The override that leaves out the other sensors of a model that knows one."""
        if run.model.sensor is None:
            return []
        entries = load_config(run.config_file(self.configs), self._opts).MODEL.IMRSF.MODALITIES
        return ["MODEL.IMRSF.MODALITIES", repr([dict(entry) for entry in entries if entry["NAME"] == run.model.sensor])]

    def _free_keys(self, run: Run) -> list[str]:
        """Keys in which a run's config may change without making it another run."""
        return [WEIGHTS] if run.origin else []

    def _describe_changes(self, run: Run) -> str:
        """The other settings that a run was made with; empty if it was not begun, or was made with these."""
        if changes := describe_changes(self.config(run), besides=self._free_keys(run)):
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

    def _root(self, run: Run) -> Path:
        """The folder of a run's training and validation data."""
        return self.output / ("data" if run.data_seed is None else f"data-seed{run.data_seed}")

    def _data(self, run: Run) -> Mapping:
        return self.data if run.data_seed is None else {**self.data, "seed": run.data_seed}

    def _fuse(self, run: Run) -> LateFusion:
        """The trained models of a run's members as one."""
        members = {}
        for member in run.needs:
            model = Trainer.build_model(self.config(member))
            Checkpointer(model, str(self.folder(member)), require_all=True).load(str(self.folder(member) / FINAL_WEIGHTS))
            members[str(member.model.sensor)] = model
        cfg = self.config(run)
        return LateFusion(members, ModalitySet.from_config(cfg), cfg.TEST.DETECTIONS_PER_IMAGE)

    def _check_needed_weights(self, run: Run) -> None:
        """Refuse a run that begins with other runs' weights if only their records were kept."""
        if (self.folder(run) / LAST).is_file():
            return  # it goes on from its own
        for needed in run.needs:
            if not (self.folder(needed) / FINAL_WEIGHTS).is_file():
                raise InputError(
                    f"{self.folder(needed)} has the record of a run and not its weights, which {run.name} needs. Remove "
                    f"{RECORD_FILE} there to train it again."
                )

    def _write_data(self) -> None:
        print(f"Data: {self.describe_data()}.", flush=True)
        for run in {self._root(run): run for run in self.chosen}.values():
            self._write(self._root(run), self._data(run))
        if self.test is not None:
            self._write(self.output / "data-test", self.test)

    def _write(self, root: Path, data: Mapping) -> None:
        folder = root / self.layout
        styles = {name: style(**data[name]) for name, style in STYLES.items() if name in data}
        try:
            write_layout(self.layout, folder, progress=sys.stderr.isatty(), **{**data, **styles})
        except FileExistsError as error:
            raise InputError(
                f"{folder} holds other data than these, and the runs beside it were trained on them. "
                "Remove both to start again, or keep them and give another --output."
            ) from error
