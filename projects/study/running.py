"""The whole study: data, every run that is not finished, the report."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from projects.study.experiment import Experiment
from projects.study.parts import STUDY, write_part
from projects.study.plan import DATA, LONGER, MODELS, PROPOSED
from projects.study.plots import draw_scores
from projects.study.report import write_up
from projects.study.tables import Setting, scores_by_model

__all__ = ["run_study"]


def run_study(
    scale: str,
    configs: Path,
    output: Path,
    results: Path,
    *,
    only: Sequence[str] = (),
    report_only: bool = False,
    opts: Sequence[str] = (),
) -> Path:
    """Run the study, or what is left of it, and write its report.

    Args:
        scale: one of `DATA`.
        configs: the folder projects/study/configs.
        output: gets data/ and a folder per run; what is finished there is kept, what is not is continued.
        results: the file whose part of the study is written, Markdown; its picture gets the same name.
        only: models or runs to work on (see `choose_runs`); the report is of all that are finished.
        report_only: do not run anything.
        opts: KEY VALUE overrides of every run's config.

    Returns:
        `results`.

    Raises:
        ValueError: on a name or an override that the study does not take; if a run to work on, or the data, were made
            with other settings: two settings are never mixed in one folder; or as `write_part`.
    """
    results = results.resolve()
    experiment = Experiment((*MODELS, *LONGER), configs / scale, DATA[scale], output, only=only, opts=opts)
    if not report_only:
        experiment.work()

    outcomes, missing = experiment.collect()
    scores = {model.title: s for model, s in scores_by_model(outcomes, MODELS).items()}
    picture = results.with_suffix(".png")
    if scores:
        draw_scores(
            picture,
            scores,
            f"{PROPOSED.title.capitalize()} model, MultiViT and ablations by sensors at hand (synthetic data)",
        )
    command = shlex.join(["python", "tools/study.py", "--scale", scale, *opts])
    setting = Setting(experiment.describe_data(), command, os.path.relpath(configs / scale), picture.name)
    write_part(results, STUDY, write_up(setting, outcomes, missing))
    print(f"Report: {results} ({len(outcomes)} of {len(experiment.runs)} runs)", flush=True)
    return results
