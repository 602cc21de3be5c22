"""The whole study: data, every run that is not finished, the report."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode

from imrsf_d2.atomic import write_text
from imrsf_d2.data.synthetic.layouts import write_layout
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.study.plan import DATA, PROPOSED, Run, choose_runs, planned_runs
from imrsf_d2.study.plots import draw_scores
from imrsf_d2.study.report import Setting, scores_by_model, write_up
from imrsf_d2.study.runs import Outcome, describe_changes, perform, read_outcome

__all__ = ["run_study"]

LAYOUT = "dfc2023"


def run_study(scale: str, configs: Path, output: Path, results: Path, *, only: Sequence[str] = (),
              report_only: bool = False, opts: Sequence[str] = ()) -> Path:
    """Run the study, or what is left of it, and write its report.

    Args:
        scale: one of `DATA`.
        configs: the folder configs/study.
        output: gets data/ and a folder per run; what is finished there is kept, what is not is continued.
        results: the report, a Markdown file; its picture gets the same name.
        only: models or runs to work on (see `choose_runs`); the report is of all that are finished.
        report_only: do not run anything.
        opts: KEY VALUE overrides of every run's config.

    Returns:
        `results`.

    Raises:
        ValueError: on a name or an override that the study does not take; or if a run to work on, or the data, were
            made with other settings: two settings are never mixed in one folder.
    """
    chosen = choose_runs(only)
    output, results = output.resolve(), results.resolve()
    for key in ("SEED", "OUTPUT_DIR"):
        if key in opts[::2]:
            raise ValueError(f"{key} is set by the study for each run (imrsf_d2/study/plan.py); leave it out of the "
                             "overrides.")
    # The data sets are registered below this root when the configuration is loaded.
    os.environ["DETECTRON2_DATASETS"] = str(output / "data")
    cfgs = {run: load_config(run.config_file(configs, scale), [*opts, "SEED", str(run.seed), "OUTPUT_DIR",
                                                               str(output / run.name)]) for run in planned_runs()}
    changed = {run: changes for run, cfg in cfgs.items() if (changes := describe_changes(cfg))}
    if not report_only:
        for run in chosen:
            if run in changed:
                raise ValueError(f"{output / run.name} was made with another config: {changed[run]}. Remove that "
                                 "folder to run it again, or keep it and give another --output.")
        _write_data(scale, output / "data" / LAYOUT)
        for number, run in enumerate(chosen, start=1):
            finished = read_outcome(output / run.name) is not None
            state = "finished earlier, kept." if finished else "runs"
            print(f"[{number}/{len(chosen)}] {run.name}: {state}", flush=True)
            if not finished:
                perform(cfgs[run], run.config_file(configs, scale), DATA[scale])

    outcomes, missing = _collect(cfgs, changed, DATA[scale])
    picture = _draw(results.with_suffix(".png"), outcomes)
    command = shlex.join(["python", "tools/study.py", "--scale", scale, *opts])
    setting = Setting(_describe_data(scale), command, os.path.relpath(configs / scale), picture)
    write_text(results, write_up(setting, outcomes, missing))
    print(f"Report: {results} ({len(outcomes)} of {len(cfgs)} runs)", flush=True)
    return results


def _write_data(scale: str, folder: Path) -> None:
    print(f"Data: {_describe_data(scale)}", flush=True)
    try:
        write_layout(LAYOUT, folder, progress=sys.stderr.isatty(), **DATA[scale])
    except FileExistsError as error:
        raise ValueError(f"{folder} holds other data than the study's, and the runs beside it were trained on them. "
                         "Remove both to start again, or keep them and give another --output.") from error


def _describe_data(scale: str) -> str:
    data = DATA[scale]
    return (f"{data['num_train']} training and {data['num_val']} validation tiles of {data['size']} px in the layout "
            f"of {LAYOUT}, of other cities each (seed {data['seed']}).")


def _collect(cfgs: Mapping[Run, CfgNode], changed: Mapping[Run, str],
             data: Mapping) -> tuple[dict[Run, Outcome], dict[Run, str]]:
    """What there is of each run, and why there is nothing of the others."""
    outcomes, missing = {}, {}
    for run, cfg in cfgs.items():
        folder = Path(cfg.OUTPUT_DIR)
        outcome = read_outcome(folder)
        if run in changed:
            missing[run] = f"made with another config ({changed[run]})"
        elif outcome is not None and outcome.record["data"] != data:
            missing[run] = f"made on other data ({outcome.record['data']})"
        elif outcome is not None:
            outcomes[run] = outcome
        else:
            missing[run] = "begun, not finished" if folder.is_dir() else "not begun"
    return outcomes, missing


def _draw(path: Path, outcomes: Mapping[Run, Outcome]) -> str:
    """Draw the scores, if there are any; returns the picture's name beside the report."""
    scores = scores_by_model(outcomes)
    if not scores:
        return ""
    draw_scores(path, {model.title: s for model, s in scores.items()},
                f"{PROPOSED.title.capitalize()} model, MultiViT and ablations by sensors at hand (synthetic data)")
    return path.name
