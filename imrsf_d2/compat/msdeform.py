"""The multi-scale deformable attention op of Mask2Former's pixel decoder: chooses which one runs, and checks it.

Mask2Former calls its compiled op under a bare `except`, and falls back to a plain PyTorch implementation several times
slower, whatever the reason. `MSDeformOp` chooses once per kind of device, logs its choice, and raises every later error.
"""

import functools
import logging
import sys

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

CUDA_OP, CPU_OP, PLAIN_OP = "cuda", "compiled cpu", "plain pytorch"
REMEDY = (
    "In a checkout, `make env` installs everything; README.md shows the steps for an environment of your own. "
    "tools/check_env.py lists what is missing."
)


#: Attribute of an error of the op, by which `MSDeformOp.after_apply` knows it.
_MARK = "from_msdeform_op"


class MSDeformOp:
    """Stands in for `MSDeformAttnFunction` and for the slow path behind it.

    The choice of op is made at the first call on a kind of device, by trying it there against the plain
    implementation, and is logged; not earlier, because touching CUDA before `torch.cuda.set_device` would make
    every process of a multi-GPU run allocate on GPU 0. Once chosen, an op that fails raises.
    """

    def __init__(self, plain, source_op=None, force_plain: bool = False):
        """
        Args:
            plain: Mask2Former's plain implementation: (value, shapes, locations, weights) -> output.
            source_op: Mask2Former's own compiled function (CUDA tensors only), None if not built.
            force_plain: choose the plain implementation everywhere.
        """
        self.plain = plain
        self.source_op = source_op
        self.force_plain = force_plain
        self.chosen: dict = {}  # device type -> (name, function)

    def apply(self, value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor, step: int):
        """Attend; same arguments and result as Mask2Former's `MSDeformAttnFunction.apply`.

        Args:
            value: [B, S, heads, D / heads], the levels' pixels one after the other.
            shapes: [L, 2] int64, height and width of each level.
            starts: [L] int64, where each level starts in S.
            locations: [B, Q, heads, L, points, 2], x and y, each in 0..1.
            weights: [B, Q, heads, L, points].
            step: chunk size of the CUDA kernel.

        Returns:
            [B, Q, D] in the dtype of `value`; computed in float32 at least (the kernels know no 16-bit types).
        """
        try:
            _, function = self.choice(value.device)
            return _in_full_precision(function, value, shapes, starts, locations, weights, step)
        except BaseException as error:
            setattr(error, _MARK, True)
            raise

    def after_apply(self, value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        """The slow path: reached from the bare `except`, it raises what was caught there; called directly, it computes."""
        error = sys.exc_info()[1]
        if error is not None and getattr(error, _MARK, False):
            raise error
        return self.plain(value, shapes, locations, weights)

    def choice(self, device: torch.device) -> tuple:
        """The op for tensors on `device`: (CUDA_OP | CPU_OP | PLAIN_OP, function)."""
        if device.type not in self.chosen:
            name, function, provider = self._choose(device)
            self.chosen[device.type] = name, function
            logger.debug("MSDeformAttn on %s: %s, of %s.", device.type, name, provider)
        return self.chosen[device.type]

    def _choose(self, device: torch.device) -> tuple:
        plain = (PLAIN_OP, self._call_plain, "Mask2Former")
        if self.force_plain:
            return plain
        candidates = []
        if self.source_op is not None and device.type == "cuda":
            candidates.append(("Mask2Former", self.source_op))
        try:
            from torch_ms_deform_attn import MSDeformAttnFunction

            candidates.append(("torch-ms-deform-attn", MSDeformAttnFunction.apply))
        except ModuleNotFoundError:
            pass
        except ImportError as error:
            logger.warning(
                "torch-ms-deform-attn cannot be loaded (%s): compile it again for torch %s.", error, torch.__version__
            )
        for provider, function in candidates:
            try:
                compare_with_plain(function, self.plain, device)
                return CUDA_OP if device.type == "cuda" else CPU_OP, function, provider
            except Exception as error:
                logger.warning("The op of %s does not work on %s: %s", provider, device.type, str(error).splitlines()[0])
        logger.warning("No compiled MSDeformAttn op for %s: the plain one is several times slower. %s", device.type, REMEDY)
        return plain

    def _call_plain(self, value, shapes, starts, locations, weights, step):
        return self.plain(value, shapes.tolist(), locations, weights)


def _in_full_precision(function, value, shapes, starts, locations, weights, step):
    """Call `function` outside autocast in the widest dtype of its inputs, float32 at least."""
    dtype = functools.reduce(torch.promote_types, (value.dtype, locations.dtype, weights.dtype), torch.float32)
    with torch.autocast(value.device.type, enabled=False):
        output = function(value.to(dtype), shapes, starts, locations.to(dtype), weights.to(dtype), step)
    return output.to(value.dtype)


def compare_with_plain(function, plain, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
    """Run `function` forward and backward on a tiny example and compare it with the plain implementation.

    Args:
        function: `MSDeformAttnFunction.apply` or its like.
        plain: Mask2Former's plain implementation.
        device: where to try it.
        dtype: float32 or float64.

    Raises:
        RuntimeError: if an output or a gradient differs (or whatever the op itself raises).
    """
    generator = torch.Generator().manual_seed(0)  # our own: the global random state must not change under a training run
    shapes = torch.tensor([[5, 4], [3, 2]], device=device)
    starts = torch.tensor([0, 20], device=device)
    sizes = {"value": (2, 26, 2, 4), "locations": (2, 7, 2, 2, 3, 2), "weights": (2, 7, 2, 2, 3)}
    results = []
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        example = {name: torch.rand(size, generator=generator, dtype=torch.float64) for name, size in sizes.items()}
        for fast in (True, False):
            value, locations, weights = (t.to(device, dtype).requires_grad_() for t in example.values())
            if fast:
                output = function(value, shapes, starts, locations, weights, 64)
            else:
                output = plain(value, shapes.tolist(), locations, weights)
            gradients = torch.autograd.grad(output.square().sum(), (value, locations, weights))
            results.append((output.detach(), *gradients))
    for what, got, expected in zip(("output", *(f"gradient of {name}" for name in sizes)), *results):
        if not torch.allclose(got, expected, rtol=1e-3, atol=1e-4):
            worst = (got - expected).abs().max().item()
            raise RuntimeError(f"MSDeformAttn op on {device}: its {what} is off by {worst:.3g} from plain PyTorch.")
