"""An output folder that records what its data were made from, so that a second run continues it or leaves it alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imrsf_d2.utils.atomic import remove_temporaries, write_text
from imrsf_d2.utils.errors import InputError, OccupiedError
from imrsf_d2.utils.locks import make_folder

__all__ = ["ClaimedFolder", "check_outside", "claim_folder"]


@dataclass(frozen=True)
class ClaimedFolder:
    """A folder that one command may write to, see `claim_folder`.

    Args:
        path: the folder.
        marker: the file in it that records the claim.
        parameters: what the data follow from.
        complete: True if an earlier run with the same parameters finished.
    """

    path: Path
    marker: Path
    parameters: Mapping
    complete: bool

    def mark(self, complete: bool, **findings: object) -> None:
        """Record whether everything is there.

        Args:
            findings: JSON-able; whatever else there is to know about the data.
        """
        if complete:
            remove_temporaries(self.path)  # of runs that were killed before this one
        content = {"complete": complete, "parameters": self.parameters, **findings}
        write_text(self.marker, json.dumps(content, indent=2) + "\n")

    def release(self) -> None:
        """Give the folder up, so that a run with other parameters may have it."""
        self.marker.unlink()


def claim_folder(
    path: Path, marker: str, parameters: Mapping, owned: Sequence[str], *, overwrite: bool | None = None
) -> ClaimedFolder:
    """Take a folder for a run, or continue the run that has it already.

    Args:
        path: the folder to write to; made if needed.
        marker: name of the JSON file in it that records the claim.
        parameters: JSON-able; what the data follow from.
        owned: names below `path` that the command writes; no others are ever looked at or removed.
        overwrite: whether data that the command made with other parameters are removed; None if the command has no
            such option. Data without the marker are never removed.

    Raises:
        NotADirectoryError: if `path`, or a folder that it lies in, is a file.
        InputError: if the folder cannot be made.
        FileExistsError: if the folder holds data made with other parameters, or not made by this command.
    """
    make_folder(path)
    parameters = json.loads(json.dumps(parameters))
    claimed = ClaimedFolder(path, path / marker, parameters, complete=False)
    present = [name for name in owned if (path / name).exists()]
    if not claimed.marker.exists():
        if present:
            raise OccupiedError(
                f"{path / present[0]} exists and was not written by this command (no {marker} in {path}), so it is "
                "left alone. Choose another output."
            )
        claimed.mark(complete=False)
        return claimed
    try:
        found = json.loads(claimed.marker.read_text(encoding="utf-8"))
        made_with, complete = dict(found["parameters"]), bool(found["complete"])
    except (ValueError, TypeError, KeyError) as error:
        raise OccupiedError(
            f"{claimed.marker} is not what this command writes there ({error!r}). Choose another output."
        ) from error
    if made_with == parameters:
        return replace(claimed, complete=complete)
    if not overwrite:
        differing = "; ".join(
            f"{key} was {made_with.get(key)!r}, now {parameters.get(key)!r}"
            for key in sorted({*made_with, *parameters})
            if made_with.get(key) != parameters.get(key)
        )
        remedy = "delete that folder" if overwrite is None else "replace it with --overwrite"
        raise OccupiedError(
            f"{path} holds data made with other parameters: {differing}. Choose another output, or {remedy}."
        )
    for name in present:
        (shutil.rmtree if (path / name).is_dir() else os.unlink)(path / name)
    claimed.mark(complete=False)
    return claimed


def check_outside(output: Path, source: Path) -> None:
    """See that an output does not lie in the folder that is read, which must stay as it is.

    Raises:
        ValueError: if it does.
    """
    if source.resolve() in (output.resolve(), *output.resolve().parents):
        raise InputError(
            f"the output {output} lies in the input {source}, which must stay as it is; choose a folder outside it."
        )
