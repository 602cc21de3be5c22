"""Read and write the named tensors of checkpoint files, without ever running code from a file."""

from __future__ import annotations

import argparse
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from imrsf_d2.utils.atomic import write_atomically
from imrsf_d2.utils.errors import InputError, MissingFileError, some_of

__all__ = ["WRITABLE", "check_suffix", "neighbors", "read_weights", "write_weights"]

PICKLED = (".pth", ".pt", ".bin", ".pyth")
#: File types that can be written.
WRITABLE = (".pth", ".safetensors")
#: Keys of the weights in a file that holds more than weights: timm, Lightning and MAE use one of the first two, pycls the
#: last.
NESTS = ("model", "state_dict", "model_state")
#: Prefix that wrappers for parallel training add to every name.
WRAPPER = "module."


def read_weights(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read the named tensors of a checkpoint, on the CPU.

    Args:
        path: a `.pth`, `.pt`, `.bin` or `.pyth` file of PyTorch or a `.safetensors` file. Tensors below `model`,
            `state_dict` or `model_state` are found; anything beside them (an optimizer, the epoch) is left out, and so is
            the prefix `module.` if all names have it.

    Returns:
        Name -> tensor, in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another type, is damaged, could only be read by running its code, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no checkpoint {str(path)!r}.{neighbors(path)}")
    check_suffix(path, (*PICKLED, ".safetensors"))
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    keys = str(sorted(map(str, content))[:8]) if isinstance(content, Mapping) else f"a {type(content).__name__}"
    named = content if isinstance(content, Mapping) else {}
    while nested := [named[nest] for nest in NESTS if isinstance(named.get(nest), Mapping)]:
        named = nested[0]
    tensors = {name: value for name, value in named.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{path} holds {keys}, expected tensors with names, alone or below one of {list(NESTS)}.")
    if all(name.startswith(WRAPPER) for name in tensors):
        return {name[len(WRAPPER) :]: tensor for name, tensor in tensors.items()}
    return tensors


def write_weights(path: str | os.PathLike, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors, wholly or not at all.

    Args:
        path: `.pth`, where they are stored below `model`, as Detectron2 expects; or `.safetensors`.
        tensors: what to write.

    Raises:
        ValueError: if the file would be of another type.
    """
    path = Path(path)
    check_suffix(path, WRITABLE)
    if path.suffix == ".safetensors":
        # The format has no views: no tensor may share the memory of another or skip parts of its own.
        whole = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        write_atomically(path, lambda file: file.write(safetensors.torch.save(whole)))
    else:
        write_atomically(path, lambda file: torch.save({"model": dict(tensors)}, file))


def neighbors(path: str | os.PathLike) -> str:
    """The checkpoints in the folder of one that is missing, for the end of a message; empty if there are none."""
    found = [(file.stat().st_mtime, file.name) for file in Path(path).parent.glob("*.pth") if file.is_file()]
    if not found:
        return ""
    # An interrupted run has no model_final.pth, and its last checkpoint is what was meant.
    return f" In that folder, the latest first: {some_of((name for _, name in sorted(found, reverse=True)), 3)}."


def check_suffix(path: str | os.PathLike, suffixes: tuple[str, ...]) -> None:
    """Refuse a file of another type before any work is done.

    Raises:
        ValueError: if the name ends otherwise.
    """
    suffix = Path(path).suffix
    if suffix not in suffixes:
        raise InputError(f"{os.fspath(path)} ends in {suffix!r}, expected a checkpoint: one of {', '.join(suffixes)}.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path, device="cpu")
    except safetensors.SafetensorError as error:
        raise _damaged(path, error, "a complete safetensors file") from error


def _read_pickled(path: Path) -> object:
    # MAE's files hold their training's command line, plain values. PyTorch 2.4 cannot allow this for a single file.
    torch.serialization.add_safe_globals([argparse.Namespace])
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can raise nearly anything
            found = re.search(r"GLOBAL ([\w.]+)", str(error))
            if not isinstance(error, pickle.UnpicklingError) or not found:
                raise _damaged(path, error, "a complete file written by torch.save") from error
            raise InputError(
                f"{path} contains a {found[1]}, expected only tensors: reading it could run code from the file. "
                "If you trust its origin, load it where it was written and save its state dict."
            ) from error


def _damaged(path: Path, error: Exception, expected: str) -> InputError:
    # PyTorch's messages continue with advice, such as reading the file with its code.
    reason = re.split(r"\. |\n", str(error).strip())[0] or type(error).__name__
    return InputError(
        f"cannot read {path} ({path.stat().st_size} bytes): {reason}. Expected {expected}; was it copied "
        "or downloaded in full?"
    )
