"""The whole pre-training run demo: data, every run that is not finished, the report and its pictures."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from imrsf_d2.data.training_stream import take_share
from imrsf_d2.engine.reconstruction_pictures import FOLDER
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.visualization.reconstruction_arrays import read_reconstructed
from imrsf_d2.visualization.reconstructions import draw_progress
from projects.study.experiment import Experiment
from projects.study.parts import PRETRAINING, write_part
from projects.study.plan import Run
from projects.study.plots import draw_scores
from projects.study.pretraining_report import write_up
from projects.study.runs import Outcome
from projects.study.starts import DATA, PRETRAININGS, SCRATCH, STARTS
from projects.study.tables import Setting, scores_by_model

__all__ = ["run_pretraining_demo"]


def run_pretraining_demo(
    configs: Path,
    output: Path,
    results: Path,
    *,
    only: Sequence[str] = (),
    report_only: bool = False,
    opts: Sequence[str] = (),
) -> Path:
    """Run the demo, or what is left of it, and write its report.

    Args:
        configs: the folder projects/study/configs/pretrain_demo.
        output: gets data/ and a folder per run; what is finished there is kept, what is not is continued.
        results: the file whose part of the pre-training is written, Markdown. Beside it go two pictures:
            pretraining.png, of reconstructions, and that of the scores, with the file's name and `_pretraining`.
        only: models or runs to work on (see `choose_runs`); the report is of all that are finished.
        report_only: do not run anything.
        opts: KEY VALUE overrides of every run's config.

    Returns:
        `results`.

    Raises:
        ValueError: see `run_study`.
    """
    results = results.resolve()
    experiment = Experiment((*PRETRAININGS, *STARTS), configs, DATA, output, only=only, opts=opts)
    if not report_only:
        experiment.work()

    outcomes, missing = experiment.collect()
    scores = {model.title: s for model, s in scores_by_model(outcomes, STARTS).items()}
    picture = results.with_name(f"{results.stem}_pretraining.png")
    if scores:
        draw_scores(picture, scores, "Instances from few labels by start (synthetic data)")
    progress = _draw_progress(results.with_name("pretraining.png"), experiment, outcomes)
    command = shlex.join(["python", "tools/pretrain_demo.py", *opts])
    setting = Setting(experiment.describe_data(), command, os.path.relpath(configs), picture.name)
    share = experiment.config(Run(SCRATCH, SCRATCH.seeds[0])).DATALOADER.TRAIN_SHARE
    labeled = len(take_share(range(experiment.data["num_train"]), share))
    write_part(results, PRETRAINING, write_up(setting, labeled, outcomes, missing, progress))
    print(f"Report: {results} ({len(outcomes)} of {len(experiment.runs)} runs)", flush=True)
    return results


def _draw_progress(path: Path, experiment: Experiment, outcomes: Mapping[Run, Outcome]) -> str:
    """Draw the first, the middle and the last reconstruction of a finished pre-training; returns the picture's name.

    It is the last one of the plan that has any; empty if none has.
    """
    for run in reversed([run for run in outcomes if run.model in PRETRAININGS]):
        files = sorted((experiment.folder(run) / FOLDER).glob("iter_*.npz"))
        if files:
            moments = dict.fromkeys((files[0], files[len(files) // 2], files[-1]))
            modalities = ModalitySet.from_config(experiment.config(run))
            # Of the tiles there are, the one that shows something of every sensor.
            least = [tile.visible.sum(axis=(1, 2)).min() for tile in read_reconstructed(files[-1], modalities)]
            draw_progress(
                path,
                {f"iteration {int(file.stem.removeprefix('iter_')) + 1}": file for file in moments},
                modalities,
                f"A validation tile during pre-training ({run.model.title})",
                sample=int(np.argmax(least)),
            )
            return path.name
    return ""
