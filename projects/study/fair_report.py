"""The report of the fair study: from the records of the runs to Markdown and CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError
from projects.study.experiment import Experiment
from projects.study.fair import Study
from projects.study.fair_tables import RunKey, sections
from projects.study.outcomes import RECORD_FILE, Outcome
from projects.study.plan import Model, Run
from projects.study.report import runs_csv
from projects.study.runs import TEST_FOLDER
from projects.study.tested import TestedRun

__all__ = ["write_fair_report"]


def write_fair_report(experiment: Experiment, study: Study, command: str, path: Path) -> None:
    """Report on all finished runs of a fair study.

    Args:
        command: that made the runs.
        path: the report. Beside it goes `<name>_runs.csv`, with the scores of every run, subset and split.

    Raises:
        InputError: if no run can be reported and there is a report, which would be lost.
    """
    outcomes, missing = experiment.collect()
    if not outcomes and path.exists():
        raise InputError(f"no run in {experiment.output} can be reported, so {path} is left as it is.")
    table = path.with_name(f"{path.stem}_runs.csv")
    parts = [f"# {study.title}: models that may miss sensors, compared fairly", f"- Command: `{command}`"]
    parts[-1] += (
        f"\n- Data: {experiment.describe_data()}\n- Test data: {study.test['num_val']} tiles of seed {study.test['seed']}, from the cities of the validation tiles"
    )
    if outcomes:
        write_text(table, runs_csv(experiment, outcomes))
        hours = sum(sum(outcome.record["seconds"].values()) for outcome in outcomes.values()) / 3600
        machines = " / ".join(dict.fromkeys(outcome.record["machine"] for outcome in outcomes.values()))
        parts[-1] += (
            f"\n- Machine: {machines}; {hours:.1f} h of wall-clock time for all runs together\n- Every run: [{table.name}]({table.name})"
        )
    tested = _tested(experiment, outcomes)
    if tested:
        parts += sections(tested, outcomes)
    if missing:
        reasons = dict.fromkeys(missing.values())
        lines = [f"- {why}: {', '.join(f'`{run.name}`' for run, own in missing.items() if own == why)}" for why in reasons]
        parts += ["## Missing runs", "\n".join(lines)]
    write_text(path, "\n\n".join(parts) + "\n")
    print(f"Report: {path} ({len(outcomes)} of {len(experiment.runs)} runs)", flush=True)


def _tested(experiment: Experiment, outcomes: Mapping[Run, Outcome]) -> dict[Model, dict[RunKey, TestedRun]]:
    """model -> run -> its test; without the members of late fusion, which know one sensor."""
    tested: dict[Model, dict[RunKey, TestedRun]] = {}
    images = ""
    for run, outcome in outcomes.items():
        own = outcome.tested
        if own is None:
            continue
        images = images or own.images
        if own.images and own.images != images:
            raise InputError(
                f"{experiment.folder(run)} is a test on other images than those of the other runs; delete {RECORD_FILE} "
                f"and {TEST_FOLDER}/ there, and run it again."
            )
        tested.setdefault(run.model, {})[run.seed, run.data_seed] = own
    return tested
