"""Checkpoints that are never half-written, and whose loading is always reported."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from torch import Tensor, nn

from imrsf_d2.checkpoint.files import neighbors, read_weights
from imrsf_d2.engine.encoder_place import at_encoder
from imrsf_d2.utils.atomic import write_atomically, write_text
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = ["LAST", "RANDOM_ENCODER", "Checkpointer"]

logger = logging.getLogger(__name__)

#: The file that names the last checkpoint, as Detectron2 calls it.
LAST = "last_checkpoint"
#: An error's message: only a trained encoder is worth freezing.
RANDOM_ENCODER = (
    "MODEL.IMRSF.FREEZE is True and MODEL.WEIGHTS is empty, expected trained weights: the frozen encoder would "
    "stay random. Append MODEL.WEIGHTS path/to/model_final.pth of a pre-training run, or MODEL.IMRSF.FREEZE "
    "False."
)


class Checkpointer(DetectionCheckpointer):
    """Detectron2's checkpointer with atomic writes, and with errors where random weights would be trained or scored unnoticed.

    Also reads `.safetensors`. Only arrays and plain values are read from any file: code in it is never executed.

    Args:
        model, save_dir, checkpointables: as in Detectron2.
        require_all: loading must fill every parameter of the model (evaluation). Resuming always requires it; other
            loading (fine-tuning) requires a match in the backbone and every frozen parameter, and logs what was filled.
    """

    def __init__(self, model, save_dir="", *, require_all: bool = False, **checkpointables):
        super().__init__(model, save_dir, **checkpointables)
        self.require_all = require_all
        self.saved_iteration: int | None = None  # of the last checkpoint that this object wrote
        self._source = ""

    def save(self, name: str, **kwargs: Any) -> None:
        """Write model, checkpointables and `kwargs` to `<save_dir>/<name>.pth`, and record it as the last one."""
        if not self.save_dir or not self.save_to_disk:
            return
        content = {"model": self.model.state_dict()}
        content.update((key, item.state_dict()) for key, item in self.checkpointables.items())
        content.update(kwargs)
        path = os.path.join(self.save_dir, f"{name}.pth")
        write_atomically(path, lambda file: torch.save(content, file))
        self.tag_last_checkpoint(f"{name}.pth")
        self.saved_iteration = kwargs.get("iteration")
        logger.info("Checkpoint written: %s", path)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Record which checkpoint `--resume` continues from."""
        write_text(os.path.join(self.save_dir, LAST), last_filename_basename)

    def forget_last(self) -> None:
        """Let nothing continue from the checkpoints that are there; the files stay. All processes have to call this."""
        comm.synchronize()  # none may still be about to read which one is the last
        if self.save_dir and self.save_to_disk:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.save_dir, LAST))

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Continue from the last checkpoint of `save_dir` if `resume` and there is one, else load `path`'s weights."""
        resuming = resume and self.has_checkpoint()
        before, self.require_all = self.require_all, self.require_all or resuming
        try:
            return super().resume_or_load(path, resume=resume)
        finally:
            self.require_all = before

    def load(self, path: str, *args, **kwargs) -> dict[str, Any]:
        """Load a checkpoint; with an empty path, keep the random weights and log so.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be fetched or read; if nothing (or, with `require_all`, not everything) in it fits the model;
                if nothing of the backbone or not all that is frozen does.
        """
        if path and "://" not in path and not os.path.isfile(path.split("?")[0]):
            raise MissingFileError(
                f"no checkpoint {path!r}. It is named by MODEL.WEIGHTS, or with --resume by "
                f"{os.path.join(self.save_dir, LAST)}.{neighbors(path)}"
            )
        if not path:
            if _frozen(self.model):
                raise InputError(RANDOM_ENCODER)
            logger.info("No weights given: starting from random ones.")
            return {}
        self._source = path
        try:
            return super().load(path, *args, **kwargs)
        except URLError as error:
            raise InputError(f"MODEL.WEIGHTS is {path!r}, which cannot be fetched: {error.reason}.") from error
        finally:
            self._parsed_url_during_load = None  # Detectron2 leaves it after a failure, and then refuses to load again

    def _load_file(self, filename: str) -> dict[str, Any]:
        # Detectron2 would execute code in either kind of file, in the second with PyTorch before 2.6.
        if filename.endswith(".pkl"):
            _refuse_code(filename)
        elif filename.endswith(".pyth"):
            return {"model": read_weights(filename), "__author__": "pycls", "matching_heuristics": True}
        return super()._load_file(filename)

    def _torch_load(self, path: str) -> dict[str, Any]:
        content: Any = None
        if not path.endswith(".safetensors"):
            try:
                # A training run's, with everything needed to resume. PyTorch before 2.6 executes code unless told not to.
                content = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # `read_weights` reads more kinds of files, or says what is wrong with this one
                logger.debug("%s: %s", path, error)
        if isinstance(content, dict) and (
            "model" in content or all(isinstance(value, Tensor) for value in content.values())
        ):
            return content
        return {"model": read_weights(path)}

    def _load_model(self, checkpoint: Any):
        _check_weights(checkpoint["model"], self._source)
        if not hasattr(checkpoint["model"], "_metadata"):  # a plain mapping, as of averaged weights or another kind of file
            checkpoint["model"] = self._with_versions(checkpoint["model"])
        checkpoint["model"] = at_encoder(checkpoint["model"], self.model)
        incompatible = super()._load_model(checkpoint)
        parameters = {name: parameter.numel() for name, parameter in self.model.named_parameters()}
        # A parameter of another shape counts as missing too.
        missing = [name for name in incompatible.missing_keys if name in parameters]
        filled = parameters.keys() - set(missing)
        unused = _branches(incompatible.unexpected_keys, self.model.state_dict())
        share, shares = _shares(parameters, filled)
        left = _some(_branches(missing, filled))
        expected = self._expectation(filled, parameters)
        if expected:
            raise InputError(
                f"{self._source} fills {100 * share:.1f} % of this model's parameters ({shares}), expected "
                f"{expected}. Missing or of another shape: {left}; unused: {_some(unused)}. Was it "
                "written with another config? Weights of other projects go through "
                "tools/convert_checkpoint.py first."
            )
        logger.info(
            "%s fills %.1f %% of the model's parameters: %s; kept random: %s; unused: %s.",
            self._source,
            100 * share,
            shares,
            left,
            _some(unused),
        )
        return incompatible

    def _with_versions(self, weights: Mapping[str, Any]) -> OrderedDict[str, Any]:
        """The weights with the versions of a state dict, without which modules would assume the names of their oldest version."""
        versioned: Any = OrderedDict(weights)
        # DistributedDataParallel's prefix, which Detectron2 removes, stands before the names of modules, too.
        prefix = "module." if all(name.startswith("module.") for name in weights) else ""
        versioned._metadata = {f"{prefix}{name}": version for name, version in self.model.state_dict()._metadata.items()}
        return versioned

    def _expectation(self, filled: Collection[str], parameters: Collection[str]) -> str:
        """What should have been filled and was not, in words; empty if all is well."""
        if self.require_all:
            return "" if len(filled) == len(parameters) else "every parameter"
        if not filled:
            return "at least some parameters"
        frozen = [name for name in _frozen(self.model) if name not in filled]
        if frozen:
            return f"every parameter that MODEL.IMRSF.FREEZE freezes, missing are {_some(_branches(frozen, filled))}"
        backbone = {name for name in parameters if name.startswith("backbone.")}
        return "weights of the backbone" if backbone and backbone.isdisjoint(filled) else ""

    def _log_incompatible_keys(self, incompatible) -> None:
        """Log only mismatched shapes: Detectron2's list of every other name repeats what `_load_model` logs in a line."""
        super()._log_incompatible_keys(type(incompatible)([], [], incompatible.incorrect_shapes))


def _check_weights(weights: object, source: str) -> None:
    """Reject what is not a tensor, and weights that would turn every prediction into NaN."""
    if not isinstance(weights, Mapping):
        raise InputError(f"{source} holds a {type(weights).__name__} below 'model', expected tensors with names.")
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, (Tensor, np.ndarray)):
            raise InputError(
                f"{source} holds {type(value).__name__} {value!r:.40} as {name!r} below 'model', expected tensors "
                "with names."
            )
        if not bool(torch.isfinite(torch.as_tensor(value)).all()):
            raise InputError(
                f"{source} holds NaN or infinite values in {name!r}, expected finite weights: the file is "
                "damaged, or its training run diverged. Take an earlier checkpoint."
            )


def _frozen(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


def _shares(parameters: dict[str, int], filled: Collection[str]) -> tuple[float, str]:
    """The filled share of a model's parameters, and a text with the share of each of its parts."""
    whole: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for name, count in parameters.items():
        part = name.split(".")[0]
        whole[part] += count
        found[part] += count if name in filled else 0
    return (
        sum(found.values()) / max(sum(whole.values()), 1),
        ", ".join(f"{part} {100 * found[part] / max(count, 1):.1f} %" for part, count in whole.items()),
    )


def _branches(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """The shortest prefixes that together stand for all of `names` and for none of `others`, in order."""
    taken = {name[:end] for name in others for end in _ends(name)}
    return list(dict.fromkeys(next((name[:end] for end in _ends(name) if name[:end] not in taken), name) for name in names))


def _ends(name: str) -> list[int]:
    """Where the prefixes `a`, `a.b` and `a.b.c` of the name `a.b.c` end."""
    return [*(at for at, character in enumerate(name) if character == "."), len(name)]


def _some(names: list[str], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + rest


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays, which Detectron2's `.pkl` files hold, and nothing that could execute code."""

    HARMLESS = {
        "_codecs.encode",
        "collections.OrderedDict",
        "numpy.ndarray",
        "numpy.dtype",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    }

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self.HARMLESS:
            raise pickle.UnpicklingError(f"it would have to run {module}.{name}")
        return super().find_class(module, name)


def _refuse_code(path: str) -> None:
    with open(path, "rb") as file:
        try:
            _ArrayUnpickler(file, encoding="latin1").load()
        except Exception as error:  # a damaged pickle can raise nearly anything
            raise InputError(f"cannot read {path}: {error}. Expected arrays alone, as in Detectron2's model zoo.") from error
