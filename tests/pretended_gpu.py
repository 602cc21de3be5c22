"""A GPU that is only pretended: tensors that say they are on cuda:0 and are computed on the CPU.

Meanwhile, what a real GPU would refuse is refused (an operation on tensors of two devices), and what would make the host wait
for it is written down with the place in the package where it happens: numbers and flags read by Python, operations whose
result has as many rows as the data says, and copies in either direction, unless from pinned memory with `non_blocking`.
"""

from __future__ import annotations

import traceback
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map_only

GPU = torch.device("cuda:0")
PACKAGE = str(Path(__file__).resolve().parent.parent / "imrsf_d2")
aten = torch.ops.aten

#: Operations whose result depends on the data in its size or is a number: the host must wait for it.
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
    aten.bincount.default,
    aten.equal.default,
}
#: Those that take indices on the CPU and copy them.
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}

_gpu: PretendedGPU | None = None


class OnGPU(Tensor):
    """A tensor that says it is on the GPU; `inner` holds its values on the CPU."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor):
        tensor = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype
        )
        tensor.inner = inner
        return tensor

    device = GPU
    is_cuda, is_cpu = True, False

    def __repr__(self):
        return f"OnGPU({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        gpu = _gpu or PretendedGPU()
        if func in WAITING:
            gpu.wait(str(func))
        elif func in INDEXING:
            for index in args[1]:
                if index is not None and (not isinstance(index, OnGPU) or index.dtype in (torch.bool, torch.uint8)):
                    gpu.wait(f"{func} by {index.dtype} on {index.device}")
            tensors = [args[0], *args[2:3]]
        elif func is aten.copy_.default and not isinstance(args[1], OnGPU) and args[1].ndim:
            gpu.copied(args[1], bool(kwargs.get("non_blocking", len(args) > 2 and args[2])))
            tensors = [args[0]]
        strangers = [tuple(value.shape) for value in tensors if not isinstance(value, OnGPU) and value.ndim]
        # In the backward pass, PyTorch makes zeros for gradients that are not there: here plain ones, on a GPU there.
        if strangers and torch._C._current_graph_task_id() == -1:
            raise RuntimeError(f"{func}: expected all tensors on cuda:0, but those of shapes {strangers} are on the CPU.")
        inner_args, inner_kwargs = tree_map_only(OnGPU, lambda value: value.inner, (args, kwargs))
        result = func(*inner_args, **inner_kwargs)
        if func is aten._local_scalar_dense.default:
            return result
        known = {id(value.inner): value for value in tensors if isinstance(value, OnGPU)}
        return tree_map_only(Tensor, lambda value: known[id(value)] if id(value) in known else OnGPU(value), result)


class PretendedGPU(TorchFunctionMode):
    """While it is active, `cuda:0` may be asked for in PyTorch's functions.

    Attributes:
        waits: place in the package and what was waited for -> how often; "elsewhere" stands for other packages.
    """

    def __init__(self):
        super().__init__()
        self.waits: Counter[str] = Counter()
        self._pinned: set[int] = set()
        self._kept: list[Tensor] = []  # or another tensor could get the address of a pinned one

    def __enter__(self):
        global _gpu
        _gpu = self
        return super().__enter__()

    def __exit__(self, *error):
        global _gpu
        _gpu = None
        return super().__exit__(*error)

    @property
    def ours(self) -> dict[str, int]:
        """The waits that the package itself asks for."""
        return {place: number for place, number in self.waits.items() if not place.startswith("elsewhere")}

    def wait(self, why: str) -> None:
        """Write down that the host waits."""
        frames = [
            frame for frame in traceback.extract_stack() if "/torch/" not in frame.filename and frame.filename != __file__
        ]
        last = frames[-1]
        place = Path(last.filename).name if last.filename.startswith(PACKAGE) else "elsewhere"
        self.waits[f"{place} {why}"] += 1

    def copied(self, source: Tensor, non_blocking: bool) -> None:
        """Write down the wait for a copy to the GPU, if there is one."""
        if not (non_blocking and source.untyped_storage().data_ptr() in self._pinned):
            self.wait("copy to the GPU")

    def to_gpu(self, module: nn.Module) -> nn.Module:
        """Put the parameters and buffers of a module on the GPU."""
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    part._parameters[name] = nn.Parameter(OnGPU(parameter.detach()), parameter.requires_grad)
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[name] = OnGPU(buffer)
        return module

    def _pin(self, tensor: Tensor) -> Tensor:
        self._pinned.add(tensor.untyped_storage().data_ptr())
        self._kept.append(tensor)
        return tensor

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        on_gpu = args and isinstance(args[0], OnGPU)
        if name == "pin_memory":
            return self._pin(args[0].clone())
        if kwargs.pop("pin_memory", False):
            return self._pin(func(*args, **kwargs))
        if name in ("to", "cpu", "cuda") and args and isinstance(args[0], Tensor):
            return self._move(name, func, args, kwargs)
        if on_gpu and name in ("tolist", "numpy", "__array__"):
            if name != "tolist":
                raise TypeError("can't convert a tensor on cuda:0 to NumPy, copy it to the CPU first")
            self.wait(name)
            return args[0].inner.tolist()
        if on_gpu and name == "new_tensor":
            kwargs.setdefault("device", GPU)
        if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cuda":
            kwargs["device"] = "cpu"
            if name in ("tensor", "as_tensor", "new_tensor"):
                self.wait(f"torch.{name} of a list")
            made = func(*args, **kwargs)
            return made if isinstance(made, OnGPU) else OnGPU(made)
        return func(*args, **kwargs)

    def _move(self, name, func, args, kwargs):
        tensor, rest = args[0], list(args[1:])
        target = {"cpu": torch.device("cpu"), "cuda": GPU}.get(name)
        if name == "to":
            given = kwargs.pop("device", None)
            if rest and (rest[0] is None or isinstance(rest[0], (str, torch.device, int))):
                given = rest.pop(0)
            elif rest and isinstance(rest[0], Tensor):
                other = rest.pop(0)
                given, kwargs["dtype"] = other.device, other.dtype
            target = tensor.device if given is None else torch.device(given)
            # What is left of (device, dtype, non_blocking), as nn.Module.to passes them.
            for key, value in zip(("dtype", "non_blocking"), rest):
                if value is not None:
                    kwargs[key] = value
        non_blocking = kwargs.pop("non_blocking", False)
        if target.type == "cuda" and not isinstance(tensor, OnGPU):
            self.copied(tensor, non_blocking)
            tensor = _Move.apply(tensor, True)
        elif target.type == "cpu" and isinstance(tensor, OnGPU):
            self.wait("copy to the CPU")
            tensor = _Move.apply(tensor, False)
        return tensor.to(**kwargs) if name == "to" and kwargs else tensor


class _Move(torch.autograd.Function):
    """A copy to the other device."""

    @staticmethod
    def forward(context, tensor: Tensor, to_gpu: bool) -> Tensor:
        context.to_gpu = to_gpu
        return OnGPU(tensor.clone()) if to_gpu else tensor.inner.clone()

    @staticmethod
    def backward(context, gradient: Tensor):
        return (gradient.inner.clone() if context.to_gpu else OnGPU(gradient.clone())), None
