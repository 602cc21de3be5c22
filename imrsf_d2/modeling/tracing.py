"""The model cannot be traced: it computes only the tokens that a batch has, and a trace knows one batch."""

from __future__ import annotations

import torch

from imrsf_d2.utils.errors import InputError

__all__ = ["refuse_tracing"]


def refuse_tracing() -> None:
    """Stop torch.jit.trace, and what traces like it, before it records which tokens its example has.

    Raises:
        InputError: while PyTorch traces. The trace would give plausible numbers, and wrong ones, for a batch with other
            sensors, other gaps or another number of samples.
    """
    if torch.jit.is_tracing():
        raise InputError(
            "this model cannot be traced (torch.jit.trace, torch.onnx.export with dynamo=False, TensorBoard's add_graph, "
            "fvcore's FlopCountAnalysis): which tokens it computes depends on the sensors that each sample has, a trace "
            "would keep those of its example and be wrong for others. Call the model as it is, or torch.compile it; "
            "`python tools/export_model.py` writes ONNX; "
            "torch.utils.flop_counter.FlopCounterMode counts operations as they run."
        )
