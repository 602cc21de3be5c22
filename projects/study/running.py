"""From a task of the fair study to its report: what is left of the runs, in lanes, then the tables."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from imrsf_d2.utils.errors import InputError
from projects.study.experiment import Experiment
from projects.study.fair import Study, models_of
from projects.study.fair_report import write_fair_report
from projects.study.lanes import Lanes, UnfinishedError
from projects.study.plan import Run

__all__ = ["run_study"]

REPOSITORY = Path(__file__).resolve().parents[2]


def run_study(
    study: Study,
    command: Sequence[str],
    output: Path,
    results: Path,
    *,
    lanes: int = 2,
    only: Sequence[str] = (),
    report_only: bool = False,
    runs_only: bool = False,
    opts: Sequence[str] = (),
) -> None:
    """Do what is left of a task's runs and write the report.

    Args:
        study: the task.
        command: that does all of this, without options of this call: "python", the tool and the task.
        output: gets the data and a folder per run. Finished runs are kept, interrupted ones are resumed.
        results: the report, see `write_fair_report`.
        lanes: runs side by side in processes of their own; 0 does them here, one after the other.
        only: models or runs to work on; the report is about all that are finished.
        report_only: train and evaluate nothing.
        runs_only: write no report, as the process of a lane does.
        opts: KEY VALUE overrides of every run's config.

    Raises:
        InputError: on a name, number or override that is not accepted; if a run to work on, or the data, were made with other
            settings. Nothing is trained or written then.
        UnfinishedError: if runs failed; the others are reported.
    """
    if lanes < 0:
        raise InputError(f"--lanes is {lanes}, expected 0 or more.")
    experiment = Experiment(
        models_of(study), study.configs, study.data, output, layout=study.layout, test=study.test, only=only, opts=opts
    )

    def of_run(run: Run) -> list[str]:
        own = ["--output", str(experiment.output), "--only", run.name, "--lanes", "0", "--runs-only"]
        return [sys.executable, str(REPOSITORY / command[1]), *command[2:], *own, *opts]

    failure = None
    if not report_only:
        try:
            experiment.work(Lanes(lanes, of_run, lambda run: output / "logs" / f"{run.name}.txt") if lanes else None)
        except UnfinishedError as error:
            failure = error
    if not runs_only:
        write_fair_report(experiment, study, shlex.join([*command, *opts]), results.resolve())
    if failure:
        raise failure
