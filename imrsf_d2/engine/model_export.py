"""A config and its checkpoint to a file that needs neither: a graph for `torch.export` or ONNX, checked against the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.scene_predictor import check_weights, class_names, training_window
from imrsf_d2.export.description import describe
from imrsf_d2.export.differences import Difference, expected_outputs, worst_differences
from imrsf_d2.export.examples import example_inputs, masked_cases
from imrsf_d2.export.files import OnnxGraph, ProgramGraph, export_program, write_onnx, write_program
from imrsf_d2.export.segmenter import FixedSegmenter
from imrsf_d2.modeling import IncompleteMultimodalViT
from imrsf_d2.modeling.fixed_backbone import FixedBackbone
from imrsf_d2.utils.atomic import replacing
from imrsf_d2.utils.errors import InputError, MissingPackageError, OccupiedError

__all__ = ["FORMATS", "Exported", "export_model"]

#: What a file's name ends in.
FORMATS = (".onnx", ".pt2")
#: The largest difference of an output, over the largest value of the model, with which a graph is written.
MOST_DIFFERENT = 1e-3
_REMEDY = "pip install 'imrsf_d2[export]'"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: the file.
        inputs: name -> shape.
        cases: the images that it was checked on; empty if onnxruntime is missing.
        differences: of each output from that of the model.
    """

    path: str
    inputs: dict[str, list[int]]
    cases: list[str]
    differences: dict[str, Difference]


def export_model(
    cfg: CfgNode,
    output: str | os.PathLike,
    *,
    size: tuple[int, int] | None = None,
    subset: Sequence[str] | None = None,
    part: str = "model",
    outputs: str = "raw",
    opset: int = 20,
) -> Exported:
    """Export the model of a config, with the weights of MODEL.WEIGHTS, in float32.

    Args:
        cfg: finished by `load_config`, with MODEL.DEVICE cpu.
        output: the file to write, .onnx or .pt2.
        size: (H, W) of the images, px; default: the training crop.
        subset: names of the sensors that are always there; None for one graph for any of them, with validity as input.
        part: "model" or "backbone".
        outputs: of a model, one of `imrsf_d2.export.outputs.OUTPUTS`.
        opset: of an ONNX file.

    Raises:
        FileExistsError: if the output exists.
        FileNotFoundError: if there are no weights.
        ImportError: if onnx or onnxscript is missing.
        ValueError: if an argument is out of range, a part of the model cannot be exported, or the weights are of another model.
    """
    path = os.fspath(output)
    if not path.endswith(FORMATS):
        raise InputError(f"the output is {path}, expected a name that ends in {' or '.join(FORMATS)}.")
    if os.path.lexists(path):
        raise OccupiedError(f"the output {path} exists and is left alone; choose another file.")
    if torch.device(cfg.MODEL.DEVICE).type != "cpu":
        raise InputError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE!r}, expected 'cpu': graphs are recorded and compared there, and computed anywhere."
        )
    onnx = path.endswith(".onnx")
    if onnx:
        _check_onnx(opset, part)
    check_weights(cfg)
    model = build_model(cfg).eval()
    Checkpointer(model, require_all=True).load(cfg.MODEL.WEIGHTS)
    vit = _backbone_of(model)
    graph = _graph(model, vit, size or (training_window(cfg),) * 2, subset, part, outputs).eval()
    backbone = graph.backbone if isinstance(graph, FixedSegmenter) else graph
    inputs = example_inputs(backbone)
    program = export_program(graph, inputs)
    classes = class_names(cfg).names if part == "model" else ()
    description = describe(backbone, part=part, outputs=outputs, classes=classes, opset=opset if onnx else None)
    cases = {} if onnx and find_spec("onnxruntime") is None else masked_cases(backbone)
    with replacing(path) as temporary:  # in place only when the check has computed something with it
        if onnx:
            write_onnx(program, inputs, list(graph(*inputs)), description, opset, temporary)
        else:
            write_program(program, description, temporary)
        differences = {}
        if cases:
            found = OnnxGraph(temporary) if onnx else ProgramGraph(temporary)
            differences = worst_differences(found, lambda case: expected_outputs(model, vit, graph, case), cases.values())
            _check_same(differences)
    sensors, validity = inputs
    named = sensors if validity is None else {**sensors, "validity": validity}
    return Exported(path, {name: list(values.shape) for name, values in named.items()}, list(cases), differences)


def _check_same(differences: Mapping[str, Difference]) -> None:
    """See that what was exported is the model; rounding alone is far below this limit."""
    for name, difference in differences.items():
        if difference.continuous and not difference.absolute <= MOST_DIFFERENT * difference.largest:
            raise InputError(
                f"the graph computes something else than the model, so it is not written: {name} differs by {difference}. "
                "Please report this, with the config."
            )


def _check_onnx(opset: int, part: str) -> None:
    """See, before anything is computed, that what ONNX needs is installed, and that the opset will do."""
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise MissingPackageError(
                f"an .onnx file needs {package}, which is not installed: {_REMEDY}. A .pt2 file needs PyTorch alone."
            )
    from imrsf_d2.export.opsets import check_opset

    check_opset(opset, part)


def _backbone_of(model: nn.Module) -> IncompleteMultimodalViT:
    """Ours, at any depth: a Mask R-CNN has it below a pyramid."""
    found = next((module for module in model.modules() if isinstance(module, IncompleteMultimodalViT)), None)
    if found is None:
        raise InputError(
            "the model has no backbone of ours: MODEL.BACKBONE.NAME is another one, expected build_imrsf_vit_backbone."
        )
    return found


def _graph(
    model: nn.Module,
    vit: IncompleteMultimodalViT,
    size: tuple[int, int],
    subset: Sequence[str] | None,
    part: str,
    outputs: str,
) -> FixedBackbone | FixedSegmenter:
    if part == "backbone":
        return FixedBackbone(vit, size, subset)
    return FixedSegmenter(model, size, subset, outputs)
