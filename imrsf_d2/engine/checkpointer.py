"""Checkpoints that are never half-written and never loaded in silence."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer

from imrsf_d2.atomic import write_atomically, write_text

__all__ = ["Checkpointer"]

logger = logging.getLogger(__name__)


class Checkpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, with atomic files and an error where it would start from random weights.

    Args:
        model, save_dir, checkpointables: as in Detectron2.
        require_all: loading must fill every parameter of the model (evaluation). Resuming always requires it; other
            loading (fine-tuning) requires at least one match and logs the share that was filled.
    """

    def __init__(self, model, save_dir="", *, require_all: bool = False, **checkpointables):
        super().__init__(model, save_dir, **checkpointables)
        self.require_all = require_all
        self._source = ""

    def save(self, name: str, **kwargs: Any) -> None:
        """Write model, checkpointables and `kwargs` to `<save_dir>/<name>.pth`, and note it as the last one."""
        if not self.save_dir or not self.save_to_disk:
            return
        content = {"model": self.model.state_dict()}
        content.update((key, item.state_dict()) for key, item in self.checkpointables.items())
        content.update(kwargs)
        path = os.path.join(self.save_dir, f"{name}.pth")
        write_atomically(path, lambda file: torch.save(content, file))
        self.tag_last_checkpoint(f"{name}.pth")
        logger.info("Checkpoint written: %s", path)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Note which checkpoint `--resume` continues from."""
        write_text(os.path.join(self.save_dir, "last_checkpoint"), last_filename_basename)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Continue from the last checkpoint of `save_dir` if `resume` and there is one, else load `path`'s weights."""
        resuming = resume and self.has_checkpoint()
        before, self.require_all = self.require_all, self.require_all or resuming
        try:
            return super().resume_or_load(path, resume=resume)
        finally:
            self.require_all = before

    def load(self, path: str, *args, **kwargs) -> dict[str, Any]:
        """Load a checkpoint; an empty path means random weights and says so.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if nothing (or, with `require_all`, not everything) in it fits the model.
        """
        if path and "://" not in path and not os.path.isfile(path.split("?")[0]):
            raise FileNotFoundError(f"no checkpoint {path!r}. It is named by MODEL.WEIGHTS, or with --resume by "
                                    f"{os.path.join(self.save_dir, 'last_checkpoint')}.")
        if not path:
            logger.info("No weights given: starting from random ones.")
            return {}
        self._source = path
        return super().load(path, *args, **kwargs)

    def _load_model(self, checkpoint: Any):
        incompatible = super()._load_model(checkpoint)
        parameters = {name: parameter.numel() for name, parameter in self.model.named_parameters()}
        # A parameter of another shape counts as missing too.
        missing = [name for name in incompatible.missing_keys if name in parameters]
        total = sum(parameters.values())
        share = 1.0 - sum(parameters[name] for name in missing) / max(total, 1)
        logger.info("%s fills %.1f %% of the model's parameters (%d of %d tensors).", self._source, 100 * share,
                    len(parameters) - len(missing), len(parameters))
        if len(missing) == len(parameters) or (missing and self.require_all):
            wanted = "every parameter" if self.require_all else "at least some parameters"
            raise ValueError(
                f"{self._source} holds {100 * share:.1f} % of this model, expected {wanted}. Missing or of another "
                f"shape: {_some(missing)}; unused: {_some(incompatible.unexpected_keys)}. Was it written with another "
                "config?")
        return incompatible


def _some(names: list[str], most: int = 4) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + rest
