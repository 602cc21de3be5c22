"""What an exported file says of itself, for programs that have neither this package nor its config."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import imrsf_d2
from imrsf_d2.modeling.fixed_backbone import FixedBackbone

__all__ = ["KEY", "describe"]

#: Under which an ONNX file has its description; a .pt2 file has it as an extra file, with ".json" appended.
KEY = "imrsf_d2"


def describe(backbone: FixedBackbone, *, part: str, outputs: str, classes: Sequence[str], opset: int | None) -> str:
    """The description of a graph, as JSON.

    Args:
        backbone: of the graph.
        part: "model" or "backbone".
        outputs: of a whole model, one of `outputs.OUTPUTS`.
        classes: names, by index.
        opset: of an ONNX file.

    Returns:
        An object with `version` (of this package), `part`, `outputs`, `size` [H, W], `modalities` (of the inputs, in order: the
        arguments of `Modality`; the graph leaves `nodata` to the caller, see `FixedBackbone.forward`), `validity` (whether there is an input of this name), `patch_size`, `min_valid`, `classes`, `opset`.
    """
    found: dict[str, Any] = {
        "version": imrsf_d2.__version__,
        "part": part,
        "size": list(backbone.size),
        "modalities": [asdict(modality) for modality in backbone.modalities],
        "validity": backbone.takes_validity,
        "patch_size": backbone.patch_size,
        "min_valid": backbone.min_valid,
    }
    if part == "model":
        found |= {"outputs": outputs, "classes": list(classes)}
    if opset is not None:
        found["opset"] = opset
    return json.dumps(found)
