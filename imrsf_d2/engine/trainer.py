"""The trainer: Detectron2's loop with our loaders, optimizer, evaluators and an exact resume."""

from __future__ import annotations

import copy
import logging
import os
import weakref

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, create_ddp_model
from detectron2.engine.hooks import EvalHook
from detectron2.evaluation import DatasetEvaluators
from detectron2.utils import comm
from detectron2.utils.events import EventWriter, JSONWriter, TensorboardXWriter
from torch import nn

from imrsf_d2.data.dataset_file import short_name
from imrsf_d2.data.loaders import build_test_loader, build_train_loader
from imrsf_d2.data.training_stream import DrawnSamples
from imrsf_d2.data.views import views_of
from imrsf_d2.engine.agreement import check_same, check_same_weights
from imrsf_d2.engine.averaging import EndWithAverage, weight_average
from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.configuration import is_pretraining
from imrsf_d2.engine.descriptions import describe_classes, describe_model, describe_scores
from imrsf_d2.engine.encoder_place import tell_views
from imrsf_d2.engine.interruption import Interruption
from imrsf_d2.engine.loader_processes import undisturbed
from imrsf_d2.engine.loop import TrainingLoop
from imrsf_d2.engine.optimizer import build_optimizer, build_scheduler
from imrsf_d2.engine.progress import ProgressWriter
from imrsf_d2.evaluation import build_evaluator
from imrsf_d2.evaluation.sensors_read import BlindTiles
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.precision import autocast
from imrsf_d2.utils.startup import Startup

__all__ = ["Trainer"]

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """Trains any meta-architecture on incomplete multimodal samples.

    An interrupted and resumed run equals one that was never interrupted, if SEED is 0 or more and SOLVER.IMS_PER_BATCH stays what it was:
    the checkpoint carries model, optimizer and schedule; the loader continues at the sample it stopped before; and each
    iteration draws from its own seed.

    Args:
        cfg: finished by `load_config`.
        go_on: how to continue; told to a user who interrupts the run.
        startup: marked and logged after the first iteration; None logs nothing of it.

    Raises:
        ValueError: if a batch does not divide among the processes, or the training data are not usable.
    """

    def __init__(
        self, cfg: CfgNode, go_on: str = "the same command with --resume goes on from here", startup: Startup | None = None
    ):
        # The parent's constructor knows several processes on GPUs only, and of mixed precision only fp16 on a GPU.
        super(DefaultTrainer, self).__init__()
        self.cfg = cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        if cfg.SOLVER.IMS_PER_BATCH % comm.get_world_size():
            raise InputError(
                f"SOLVER.IMS_PER_BATCH is {cfg.SOLVER.IMS_PER_BATCH}, expected a multiple of "
                f"{comm.get_world_size()}, the number of processes."
            )
        self._startup = startup
        model = self.build_model(cfg)
        tell_views(model, views_of(cfg))
        optimizer = self.build_optimizer(cfg, model)
        self._mark("model")
        loader = self.build_train_loader(cfg)
        self._mark("data")
        # None means the model's device; Detectron2 would name a GPU. No search for unused parameters: the encoder gives
        # each of its own a gradient whatever sensors a process's batch lacks.
        devices = {} if torch.device(cfg.MODEL.DEVICE).type == "cuda" else {"device_ids": None}
        distributed = create_ddp_model(model, broadcast_buffers=False, **devices)
        self._trainer = TrainingLoop.from_config(cfg, distributed, loader, optimizer, weight_average(cfg, model))
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = Checkpointer(self.model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter, self.max_iter = 0, cfg.SOLVER.MAX_ITER
        self._interruption = Interruption(self.checkpointer, go_on)
        self.register_hooks(self.build_hooks())

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """The model of MODEL.META_ARCHITECTURE; its layers are listed in the log, its size on the console."""
        model = super().build_model(cfg)
        if hasattr(model, "criterion"):
            # Imported here, because not every architecture needs Mask2Former.
            from imrsf_d2.engine.set_losses import use_batch_losses

            use_batch_losses(model.criterion)
        logger.info("Model: %s", describe_model(model))
        return model

    @classmethod
    def build_train_loader(cls, cfg: CfgNode, start_draw: int = 0):
        """The endless loader of training batches, from the `start_draw`-th sample on (of all workers together)."""
        loader = undisturbed(build_train_loader(cfg, start_draw=start_draw))
        if start_draw == 0 and not is_pretraining(cfg):
            logger.info("Classes of %s: %s", cfg.DATASETS.TRAIN[0], describe_classes(cfg.DATASETS.TRAIN[0]))
        return loader

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str):
        """The loader of a test set, with the modalities that `INPUT.TEST_MODALITIES` leaves."""
        return undisturbed(build_test_loader(cfg, dataset_name))

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str):
        """The evaluator that the dataset's `evaluator_type` asks for, which writes below OUTPUT_DIR/inference, and one that
        warns of tiles in which the model sees nothing."""
        given = ModalitySet.from_config(cfg).check_subset(cfg.INPUT.TEST_MODALITIES, "INPUT.TEST_MODALITIES")
        scorer = build_evaluator(cfg, dataset_name, os.path.join(cfg.OUTPUT_DIR, "inference", short_name(dataset_name)))
        return DatasetEvaluators([scorer, BlindTiles(dataset_name, given)])

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """See `imrsf_d2.engine.optimizer`."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer):
        """See `imrsf_d2.engine.optimizer`."""
        return build_scheduler(cfg, optimizer)

    def build_hooks(self) -> list[HookBase]:
        """Detectron2's hooks, the one that handles interruptions ahead of the evaluation, and those of a pre-training run
        ahead of the last one, which passes images on to TensorBoard."""
        hooks = super().build_hooks()
        place = next(number for number, hook in enumerate(hooks) if isinstance(hook, EvalHook))
        hooks[place : place + 1] = [self._interruption, EvalHook(self.cfg.TEST.EVAL_PERIOD, self._evaluate)]
        if self._trainer.average is not None:  # ahead of the checkpoints
            hooks.insert(0, EndWithAverage(self.checkpointer.model, self._trainer.average))
        if is_pretraining(self.cfg):
            # Imported here, so that no other training run waits until matplotlib is loaded.
            from imrsf_d2.engine.reconstruction_pictures import picture_hooks

            hooks[-1:-1] = picture_hooks(self.cfg)
        return hooks

    def build_writers(self) -> list[EventWriter]:
        """A readable line in the log, metrics.json, and TensorBoard."""
        os.makedirs(self.cfg.OUTPUT_DIR, exist_ok=True)
        return [
            ProgressWriter(self.max_iter),
            JSONWriter(os.path.join(self.cfg.OUTPUT_DIR, "metrics.json")),
            TensorboardXWriter(self.cfg.OUTPUT_DIR),
        ]

    def resume_or_load(self, resume: bool = True) -> None:
        """Continue the training run in OUTPUT_DIR if `resume` and there is one; else start from MODEL.WEIGHTS.

        Raises:
            FileNotFoundError, ValueError: see `Checkpointer.load`.
            ValueError: in all processes, if they do not start at the same place, from the same weights, or on as many
                samples.
        """
        super().resume_or_load(resume)
        self._check_processes_agree(resume)
        if self.start_iter > 0:
            if self.cfg.SEED < 0:
                logger.warning(
                    "SEED is %d, expected 0 or more for an exact resume: this run goes on with a random "
                    "seed, so its samples are not those of a training run without interruption.",
                    self.cfg.SEED,
                )
            draw = self.start_iter * self.cfg.SOLVER.IMS_PER_BATCH
            logger.info("Resuming at iteration %d (training sample %d).", self.start_iter, draw)
            self._trainer.reset_data_loader(lambda: self.build_train_loader(self.cfg, start_draw=draw))
        elif self.checkpointer.has_checkpoint():
            logger.warning(
                "%s holds the checkpoints of an earlier training run, which this one will overwrite. Stop it before its first "
                "iteration to keep them: --resume then continues that run, another OUTPUT_DIR leaves it alone.",
                self.cfg.OUTPUT_DIR,
            )

    def _check_processes_agree(self, resume: bool) -> None:
        """Processes at different iterations would wait for each other forever; other differences would go unnoticed."""
        if comm.get_world_size() == 1:
            return
        folder = f"OUTPUT_DIR ({os.path.abspath(self.cfg.OUTPUT_DIR)})"
        check_same(
            "the iteration that training starts at",
            self.start_iter,
            f"With --resume each process reads the last "
            f"checkpoint in {folder}: put it into a folder that all machines share.",
        )
        source = folder if resume and self.checkpointer.has_checkpoint() else f"MODEL.WEIGHTS ({self.cfg.MODEL.WEIGHTS})"
        check_same_weights(self.model, source)
        samples = getattr(self._trainer.data_loader.dataset, "dataset", None)
        if isinstance(samples, DrawnSamples):  # else it is a user's own loader
            check_same(
                "the number of training samples",
                len(samples),
                "Each process reads the labels by itself: check that "
                "DETECTRON2_DATASETS names the same data on all machines.",
            )

    def run_step(self) -> None:
        """One iteration, its random numbers (sampled loss points, dropout) a function of SEED and iteration alone."""
        self._trainer._data_loader_iter  # noqa: B018 (making the iterator draws a number: let it do so before seeding)
        if self.cfg.SEED >= 0:
            state = np.random.SeedSequence([self.cfg.SEED, comm.get_rank(), self.iter]).generate_state(1, np.uint64)
            torch.manual_seed(int(state[0] >> np.uint64(1)))
        super().run_step()
        if self.iter == self.start_iter == 0:
            self.checkpointer.forget_last()  # from here on, --resume would mix this run with an earlier one of this folder
        if self.iter == self.start_iter and self._startup is not None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self._mark("iteration")
            logger.info("First iteration after %s", self._startup)

    def _mark(self, phase: str) -> None:
        if self._startup is not None:
            self._startup.mark(phase)

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators=None) -> dict:
        """Evaluate on `DATASETS.TEST` (see Detectron2), in the precision of `SOLVER.AMP`.

        Returns:
            The scores; none for a pre-training run, which makes no predictions (its `DATASETS.TEST` are for pictures).
        """
        if is_pretraining(cfg):
            return {}
        if cfg.INPUT.TEST_MODALITIES:
            logger.info("Evaluated with %s alone (INPUT.TEST_MODALITIES)", ", ".join(cfg.INPUT.TEST_MODALITIES))
        with autocast(cfg):
            results = super().test(cfg, model, evaluators)
        for line in describe_scores(results):
            logger.info(line)
        return results

    def _evaluate(self) -> dict:
        """Called by the evaluation's hook, also after the last iteration."""
        if self._interruption.stopping:
            return {}
        with self._interruption.ending_at_once():
            self._last_eval_results = self.test(self.cfg, self.model)
        return self._last_eval_results

    def train(self) -> dict:
        """Train to MAX_ITER.

        Returns:
            The results of the evaluation after the last iteration (empty on all processes but the first).

        Raises:
            Interrupted: after Ctrl-C or SIGTERM; a checkpoint holds what was trained until then.
        """
        with self._interruption.watching():
            super().train()
        return copy.deepcopy(getattr(self, "_last_eval_results", {}))
