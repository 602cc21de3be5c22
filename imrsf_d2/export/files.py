"""Graphs as files: the ExportedProgram of `torch.export` (.pt2), and ONNX (.onnx)."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from imrsf_d2.export.description import KEY
from imrsf_d2.export.examples import Inputs
from imrsf_d2.utils.errors import InputError

__all__ = ["OnnxGraph", "ProgramGraph", "export_program", "write_onnx", "write_program"]

#: A file of ONNX is a message of protobuf, which ends here; weights beside it would be a second file.
_MOST_BYTES = 2**31


def export_program(graph: nn.Module, inputs: Inputs) -> torch.export.ExportedProgram:
    """Record a graph by `torch.export`.

    Args:
        graph: a FixedBackbone or FixedSegmenter, in evaluation mode.
        inputs: an example; their shapes are those of the graph from now on.
    """
    sensors, validity = inputs
    arguments = (sensors,) if validity is None else (sensors, validity)
    wanting = [parameter for parameter in graph.parameters() if parameter.requires_grad]
    for parameter in wanting:
        parameter.requires_grad_(False)
    try:
        # Not in no_grad: there, blocks overwrite their tokens part by part, which a graph would copy.
        with torch.enable_grad(), _quiet():
            return torch.export.export(graph, arguments, strict=False)
    finally:
        for parameter in wanting:
            parameter.requires_grad_(True)


def write_program(program: torch.export.ExportedProgram, description: str, path: str) -> None:
    """Write a .pt2 file, with its description as an extra file."""
    with open(path, "wb") as file, _quiet():
        torch.export.save(program, file, extra_files={f"{KEY}.json": description})


def write_onnx(
    program: torch.export.ExportedProgram, inputs: Inputs, outputs: list[str], description: str, opset: int, path: str
) -> None:
    """Write an ONNX file, with its description as metadata.

    Args:
        program: from `export_program`.
        inputs: as there; their names are those of the file.
        outputs: names of the outputs, in order.
        opset: of the file.

    Raises:
        ValueError: if the graph cannot be brought to this opset, or is too large for one file.
    """
    size = sum(tensor.nbytes for tensor in program.state_dict.values())
    if size >= _MOST_BYTES:
        raise InputError(
            f"the weights have {size / 2**30:.1f} GiB, expected less than 2 GiB, the limit of one ONNX file; a .pt2 file has none."
        )
    sensors, validity = inputs
    names = [*sensors, *([] if validity is None else ["validity"])]
    with _quiet():
        exported = torch.onnx.export(
            program, (), dynamo=True, input_names=names, output_names=outputs, opset_version=opset, verbose=False
        )
    assert exported is not None
    written = exported.model.opset_imports[""]
    if written != opset:
        raise InputError(
            f"--opset is {opset}, but onnxscript leaves this graph at opset {written}: it cannot convert all of its operators. "
            f"Expected {written}."
        )
    exported.model.metadata_props[KEY] = description
    exported.save(path, external_data=False)


class ProgramGraph:
    """A .pt2 file, to compute with.

    Args:
        path: the file.
    """

    def __init__(self, path: str):
        with open(path, "rb") as file, _quiet():
            self.module = torch.export.load(file).module()

    def __call__(self, inputs: Inputs) -> Mapping[str, Tensor]:
        sensors, validity = inputs
        with torch.no_grad():
            return self.module(sensors) if validity is None else self.module(sensors, validity)


class OnnxGraph:
    """An ONNX file, to compute with by onnxruntime on the CPU.

    Args:
        path: the file.
        threads: of the CPU; 0 for as many as onnxruntime takes.
    """

    def __init__(self, path: str, threads: int = 0):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    def __call__(self, inputs: Inputs) -> Mapping[str, Tensor]:
        sensors, validity = inputs
        fed = {name: values.numpy() for name, values in sensors.items()}
        if validity is not None:
            fed["validity"] = validity.numpy()
        return {name: torch.from_numpy(value) for name, value in zip(self.names, self.session.run(None, fed))}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say to their own authors."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)
