"""Figures of reconstructions during pre-training, always of the same samples with the same masks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data.detection_utils import read_image
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from imrsf_d2.data.loaders import read_test_samples
from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.data.sample_names import sample_names
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.precision import autocast
from imrsf_d2.visualization import choose_tiles
from imrsf_d2.visualization.reconstruction_arrays import ReconstructedSample, write_reconstructed
from imrsf_d2.visualization.reconstructions import draw_reconstructions

__all__ = ["FOLDER", "ReconstructionPictures", "picture_hooks"]

logger = logging.getLogger(__name__)

#: Below OUTPUT_DIR: the figures, and the arrays that they show.
FOLDER = "reconstructions"


def picture_hooks(cfg: CfgNode) -> list[HookBase]:
    """The hook that draws reconstructions; none if PICTURES.PERIOD is 0, and none in other processes than the first."""
    wanted = cfg.MODEL.IMRSF.PRETRAIN.PICTURES.PERIOD > 0 and comm.is_main_process()
    return [ReconstructionPictures(cfg)] if wanted else []


class ReconstructionPictures(HookBase):
    """Draws the reconstructions of a few samples, every PICTURES.PERIOD iterations and after the last one.

    Writes OUTPUT_DIR/reconstructions/iter_<iteration>.png and, for `draw_progress`, .npz, numbered as checkpoints are. The
    figure also goes to TensorBoard. The training run is not affected: its random numbers are restored.

    Args:
        cfg: of a pre-training run; PICTURES.SAMPLES samples are taken from the first dataset of DATASETS.TEST, or of
            DATASETS.TRAIN if that is empty.
    """

    def __init__(self, cfg: CfgNode):
        self.cfg = cfg
        self.modalities = ModalitySet.from_config(cfg)
        self._samples: list[dict] = []

    def before_train(self) -> None:
        """Read the samples, so that an unreadable one stops the training run at its start.

        Raises:
            RasterError, ValueError: see the mapper.
        """
        with _untouched_generators(self.cfg.MODEL.DEVICE):
            self._samples = _read_samples(self.cfg)

    def after_step(self) -> None:
        """Draw, if this iteration is one of those with a figure."""
        done = self.trainer.iter + 1
        if done % self.cfg.MODEL.IMRSF.PRETRAIN.PICTURES.PERIOD == 0 or done >= self.trainer.max_iter:
            model = self.trainer.model
            # This runs in the first process only, so no forward pass may wait for the others.
            model = model.module if isinstance(model, DistributedDataParallel) else model
            with _untouched_generators(self.cfg.MODEL.DEVICE):
                names = sample_names(self._samples)
                self._draw([self._reconstruct(model, *named) for named in zip(self._samples, names)])

    def _reconstruct(self, model: nn.Module, sample: Mapping, name: str) -> ReconstructedSample:
        with inference_context(model), torch.no_grad(), autocast(self.cfg):
            (output,) = model([sample])
        predicted = torch.cat([output["reconstruction"][m].float().cpu() for m in self.modalities.names])
        present, visible = (output[key].cpu().numpy() for key in ("present", "visible"))
        return ReconstructedSample(
            name, sample["image"].numpy(), present, visible, predicted.numpy(), self.cfg.MODEL.IMRSF.PATCH_SIZE
        )

    def _draw(self, samples: list[ReconstructedSample]) -> None:
        iteration = self.trainer.iter
        path = Path(self.cfg.OUTPUT_DIR) / FOLDER / f"iter_{iteration:07d}.png"
        write_reconstructed(path.with_suffix(".npz"), samples, self.modalities)
        draw_reconstructions(path, samples, self.modalities, f"Iteration {iteration}")
        self.trainer.storage.put_image(FOLDER, np.moveaxis(read_image(str(path), format="RGB"), -1, 0))
        logger.info("Reconstructions: %s", path)


def _read_samples(cfg: CfgNode) -> list[dict]:
    """Samples spread evenly over the dataset, with all modalities and not augmented, but cropped as in training."""
    dataset = (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)[0]
    samples = read_test_samples(cfg, dataset)
    mapper = build_mapper(cfg, is_train=True, dropout=None, dihedral=False, scale=(1.0, 1.0), jitters={}, seed=0)
    # Without annotations, by which crowded tiles would be preferred.
    positions = choose_tiles([{}] * len(samples), cfg.MODEL.IMRSF.PRETRAIN.PICTURES.SAMPLES)
    return [mapper({**samples[position], "draw": position}) for position in positions]


@contextlib.contextmanager
def _untouched_generators(device: str) -> Iterator[None]:
    """Restore the states of the global random number generators of torch and numpy afterwards."""
    state = np.random.get_state()
    on_gpu = torch.device(device).type == "cuda"
    try:
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if on_gpu else []):
            yield
    finally:
        np.random.set_state(state)
