"""The pre-training demo: one model from several starts on few labels, and whether pre-training helps it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imrsf_d2.engine.reconstruction_pictures import FOLDER
from imrsf_d2.evaluation.tables import markdown_table
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.visualization.reconstruction_arrays import read_reconstructed
from imrsf_d2.visualization.reconstructions import draw_progress
from projects.study.claims import Claim, compare_models
from projects.study.experiment import Experiment
from projects.study.plan import CONFIGS, Run
from projects.study.report import Outcomes, Topic
from projects.study.starts import DATA, FROM_G, FROM_GC, FROM_VARIANTS, PARTIAL, PRETRAININGS, SCRATCH, STARTS, TENTH

__all__ = ["pretraining_claims", "pretraining_topic"]

#: Beside the report.
FIGURE = "pretraining.png"


def pretraining_topic() -> Topic:
    """The pre-training demo."""
    return Topic(
        title="Does pre-training help when few tiles are labeled?",
        introduction=(
            "The encoder is pre-trained on all training tiles without their labels, by reconstruction alone (G) and by "
            "reconstruction and contrastive learning (G & C); and by reconstruction with random subsets of the sensors, with a "
            "cross-attention before the decoders, and three times as long. Then a model learns to find buildings from the labels "
            "of a small share of these tiles (`DATALOADER.TRAIN_SHARE`, a tenth unless the command says otherwise): from random "
            "weights, from each pre-training, and with a pre-trained encoder that learns at a tenth of the rate or is frozen, "
            "always on the same tiles for the same number of iterations. All runs from G start from one and the same pre-training "
            "run, and so do those from each other one: their standard deviations do not include that of pre-training itself, "
            "which may well be larger."
        ),
        models=(*PRETRAININGS, *STARTS),
        drawn=STARTS,
        configs=CONFIGS / "pretrain_demo",
        data=DATA,
        claims=pretraining_claims,
        extra=pretraining_sections,
    )


def pretraining_claims(outcomes: Outcomes) -> list[Claim]:
    """Claims about pre-training and about fine-tuning."""
    return [
        ("Pre-training helps.", compare_models(outcomes, [(start, SCRATCH) for start in (FROM_G, FROM_GC, *FROM_VARIANTS)])),
        ("Contrastive learning in addition to reconstruction helps.", compare_models(outcomes, [(FROM_GC, FROM_G)])),
        (
            "Reconstruction gains from random subsets, from a cross-attention before the decoders, and from more iterations.",
            compare_models(outcomes, [(start, FROM_G) for start in FROM_VARIANTS]),
        ),
        (
            "A pre-trained encoder is best fine-tuned at a tenth of the learning rate, or not at all.",
            compare_models(outcomes, [(TENTH, FROM_GC), (PARTIAL, FROM_GC), (PARTIAL, SCRATCH)]),
        ),
    ]


def pretraining_sections(experiment: Experiment, outcomes: Outcomes, folder: Path) -> list[str]:
    """A section on the losses of pre-training and, if there are any, reconstructions; none without a pre-training run."""
    pretrained = {run: outcome for run, outcome in outcomes.items() if run.model in PRETRAININGS}
    if not pretrained:
        return []
    losses = {run: outcome.record["losses"] for run, outcome in pretrained.items()}
    names = dict.fromkeys(name for of_run in losses.values() for name in of_run if name != "total_loss")
    rows = [
        [name, *(" → ".join(f"{value:.3f}" for value in of_run.get(name, ())) for of_run in losses.values())]
        for name in (*names, "total_loss")
    ]
    parts = ["## Losses of pre-training", markdown_table(["loss", *(run.model.title for run in losses)], rows, 1)]
    parts.append(
        "Median of the first 20 iterations → median of the last 20, on training tiles, weighted as in the total. The losses of "
        "sensors are computed on masked patches, the contrastive loss on whole samples."
    )
    if draw_reconstructions(folder / FIGURE, experiment, list(pretrained)):
        parts.append(f"![reconstructions during pre-training]({FIGURE})")
    return parts


def draw_reconstructions(path: Path, experiment: Experiment, runs: Sequence[Run]) -> bool:
    """Draw the first, the middle and the last reconstruction of the last run that has any; False if none has."""
    for run in reversed(runs):
        files = sorted((experiment.folder(run) / FOLDER).glob("iter_*.npz"))
        if files:
            moments = dict.fromkeys((files[0], files[len(files) // 2], files[-1]))
            modalities = ModalitySet.from_config(experiment.config(run))
            # The tile of which the encoder sees something of every sensor, or the most of the sensor that it sees least of.
            least = [tile.visible.sum(axis=(1, 2)).min() for tile in read_reconstructed(files[-1], modalities)]
            draw_progress(
                path,
                {f"iteration {int(file.stem.removeprefix('iter_')) + 1}": file for file in moments},
                modalities,
                f"A validation tile during pre-training ({run.model.title})",
                sample=int(np.argmax(least)),
            )
            return True
    return False
