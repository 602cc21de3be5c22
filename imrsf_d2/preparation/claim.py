"""A folder of prepared data says what it was made with, so that a second run goes on with it or leaves it alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from imrsf_d2.utils.atomic import remove_temporaries, write_text
from imrsf_d2.utils.errors import InputError, NotAFolderError, OccupiedError

__all__ = ["MARKER", "RECORDS", "claim_output", "mark"]

MARKER = "prepared.json"
#: Folder below the output with one small file per finished tile.
RECORDS = ".prepared"


def claim_output(source: Path, output: Path, parameters: Mapping, owned: Sequence[str]) -> bool:
    """Make `output` ready to be written, or gone on with.

    Args:
        source: the folder that is read and must stay as it is.
        output: the folder to write below.
        parameters: JSON-able; what the data follow from. Recorded in `prepared.json`.
        owned: names below `output` that the run will write.

    Returns:
        True if an earlier run with the same parameters reached its end.

    Raises:
        ValueError: if `output` is `source` or lies inside it.
        NotADirectoryError: if `output`, or what it lies in, is a file.
        FileExistsError: if `output` holds data made with other parameters, or not by this tool.
    """
    if output.resolve() == source.resolve() or source.resolve() in output.resolve().parents:
        raise InputError(
            f"the output {output} lies in the input {source}, which must stay as it is; choose a folder outside it."
        )
    # lexists: a link to nowhere is in the way too.
    if not (there := next(path for path in (output, *output.parents) if os.path.lexists(path))).is_dir():
        raise NotAFolderError(
            f"the output {output} cannot be made: {there} is a file, expected a folder. Choose another output."
        )
    parameters = json.loads(json.dumps(parameters))
    marker = output / MARKER
    if not marker.exists():
        present = [name for name in owned if (output / name).exists()]
        if present:
            raise OccupiedError(
                f"{output / present[0]} exists and was not written by this tool (no {MARKER} in "
                f"{output}), so it is left alone. Choose another output."
            )
        mark(output, parameters, complete=False)
        return False
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        made_with, complete = found["parameters"], found["complete"]
    except (ValueError, TypeError, KeyError) as error:
        raise OccupiedError(f"{marker} is not what this tool writes there ({error!r}). Choose another output.") from error
    differing = [
        f"{key} was {made_with.get(key)!r}, now {parameters.get(key)!r}"
        for key in sorted({*made_with, *parameters})
        if made_with.get(key) != parameters.get(key)
    ]
    if differing:
        raise OccupiedError(
            f"{output} holds data prepared with other parameters: {'; '.join(differing)}. Choose "
            "another output, or delete that folder."
        )
    return bool(complete)


def mark(output: Path, parameters: Mapping, complete: bool, **findings) -> None:
    """Record what `output` is made with, whether everything is there, and what else there is to know about it.

    Args:
        findings: JSON-able.
    """
    if complete:
        remove_temporaries(output)  # of runs that were killed before this one
    content = {"complete": complete, "parameters": parameters, **findings}
    write_text(output / MARKER, json.dumps(content, indent=2) + "\n")
