"""Which opsets of ONNX a graph can be written in."""

from __future__ import annotations

import onnx
import onnx.defs

from imrsf_d2.utils.errors import InputError

__all__ = ["LOWEST", "check_opset"]

#: The opset that PyTorch's exporter writes operators in, and later ones are made of.
LOWEST = 18
#: Operators of these graphs that are younger than opset 13, in the form that they have in LOWEST.
_BACKBONE = ("LayerNormalization", "ReduceMax", "Split")
_MODEL = ("GridSample", *_BACKBONE, "Resize")


def check_opset(opset: int, part: str) -> None:
    """See that an opset has all operators of a graph.

    Args:
        opset: what is asked for.
        part: "model" or "backbone".

    Raises:
        ValueError: if it lacks one; the message names it and the opset that has it.
    """
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise InputError(
            f"--opset is {opset}, expected {LOWEST} to {newest}, the newest that onnx {onnx.__version__} knows."
        )
    if opset >= LOWEST:
        return
    names = _MODEL if part == "model" else _BACKBONE
    since = {name: onnx.defs.get_schema(name, LOWEST, "").since_version for name in names}
    lacking = ", ".join(f"{name} (in opset {version})" for name, version in since.items() if version > opset)
    raise InputError(
        f"--opset is {opset}, which lacks operators of this graph in the form that it needs: {lacking}. Expected {LOWEST} to {newest}."
    )
