"""Makes any installed detectron2 and Mask2Former usable: the only file that knows how their versions differ.

Neither has a release of its own, so users have a source build or a copy from PyPI. `prepare()` bridges five gaps and
otherwise leaves a source build that needs nothing as it is:

1. detectron2 without its compiled `_C` cannot import `detectron2.evaluation.fast_eval_api`, which Mask2Former imports.
2. One copy of Mask2Former changed `SetCriterion.__init__` but not the call of it in `MaskFormer.from_config`.
3. Mask2Former's source cannot be imported before its op is compiled, which its `make.sh` does only where there is nvcc.
4. `MSDeformAttn.forward` calls its compiled op under a bare `except` that hides every failure behind a slow path.
5. Mask2Former's losses are compiled by TorchScript, whose fuser fails on a GPU at some sizes.
"""

import contextlib
import importlib
import inspect
import logging
import os
import sys
import types
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

# Before torch is loaded: its threads on the CPU spin only briefly while they wait for each other. With the default, on
# cores that other processes use too, everything took several times longer; on idle cores it is as fast.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import torch  # noqa: E402

from imrsf_d2.compat.msdeform import CUDA_OP, PLAIN_OP, REMEDY, MSDeformOp, compare_with_plain  # noqa: E402
from imrsf_d2.utils.errors import InputError, UpstreamError  # noqa: E402

logger = logging.getLogger(__name__)

OP_VARIABLE = "IMRSF_MSDEFORM_OP"  # environment: "auto" (default), or "plain" to force plain PyTorch (tests, benchmarks)
OP_CHOICES = ("auto", "plain")

_OP_MODULE = "mask2former.modeling.pixel_decoder.ops.modules.ms_deform_attn"
_LOSS_MODULES = ("mask2former.modeling.criterion", "mask2former.modeling.matcher")
_EXTENSION = "MultiScaleDeformableAttention"  # what Mask2Former's own op is compiled into


def prepare(msdeform_op: str | None = None) -> None:
    """Import Mask2Former in a usable state; call it before using detectron2.evaluation or mask2former.

    Every call after the first returns at once, unless it names another `msdeform_op`.

    Args:
        msdeform_op: "auto" (the fastest op that works on the tensors' device) or "plain" (plain PyTorch). None keeps
            the present choice; at first that is the environment variable IMRSF_MSDEFORM_OP, else "auto".

    Raises:
        UpstreamError: if detectron2 or Mask2Former is missing or cannot be imported.
        ValueError: if `msdeform_op` (or the environment variable) is neither "auto" nor "plain".
    """
    wanted = msdeform_op or _prepared.get("op") or os.environ.get(OP_VARIABLE) or "auto"
    if wanted not in OP_CHOICES:
        raise InputError(f"MSDeformAttn op is {wanted!r}, expected one of {OP_CHOICES} (argument, or ${OP_VARIABLE}).")
    if _prepared.get("op") == wanted:
        return
    for package in ("detectron2", "mask2former"):
        if package not in sys.modules and find_spec(package) is None:
            raise UpstreamError(f"{package} is not installed in {sys.prefix}. {REMEDY}", name=package)
    try:
        with importable_mask2former():
            maskformer_model: Any = importlib.import_module("mask2former.maskformer_model")
            op_module = importlib.import_module(_OP_MODULE)
            losses = [importlib.import_module(name) for name in _LOSS_MODULES]
    except ImportError as error:
        raise UpstreamError(
            f"mask2former is installed but cannot be imported: {error}. If this names {_EXTENSION}, "
            f"that op was compiled for another torch than {torch.__version__}: compile it again. Otherwise: {REMEDY}",
            name="mask2former",
        ) from error
    # Its matcher asks for autocast by an old name in every iteration; nobody but its authors can change that.
    warnings.filterwarnings("ignore", message=r".*torch\.cuda\.amp\.autocast", category=FutureWarning, module="mask2former")
    # So do Detectron2's layers, which ask whether they are being traced.
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
    maskformer_model.SetCriterion = adapt_criterion(maskformer_model.SetCriterion)
    install_op(op_module, force_plain=wanted == "plain")
    for module in losses:
        use_plain_losses(module)
    _prepared["op"] = wanted


_prepared: dict[str, str] = {}


@contextlib.contextmanager
def importable_mask2former() -> Iterator[None]:
    """Let Mask2Former be imported meanwhile, whatever is not compiled here."""
    provide_fast_coco_eval()
    with warnings.catch_warnings(), stand_in_for_absent_extension():
        # Notices that torch.jit.script and torch.cuda.amp will be removed: they do not concern the user's code.
        warnings.simplefilter("ignore", FutureWarning)
        yield


# 1. COCO evaluation without detectron2._C


def provide_fast_coco_eval() -> str:
    """Replace `detectron2.evaluation.fast_eval_api` where detectron2's compiled `_C` cannot be loaded.

    Returns:
        Whose COCOeval_opt is in use: "detectron2", "faster-coco-eval", or "pycocotools" (same numbers, slower).
    """
    name = "detectron2.evaluation.fast_eval_api"
    present = sys.modules.get(name)
    if present is not None:
        return getattr(present, "provider", "detectron2")
    try:
        importlib.import_module("detectron2._C")
        return "detectron2"
    except ImportError:  # absent (the wheel is for another Python), or compiled against another torch
        pass
    try:
        from faster_coco_eval import COCOeval_faster as COCOeval

        provider = "faster-coco-eval"
    except ImportError:
        from pycocotools.cocoeval import COCOeval

        provider = "pycocotools"
    module: Any = types.ModuleType(name, "Stand-in by imrsf_d2.compat.upstream: detectron2._C is not available here.")
    module.COCOeval_opt, module.provider = COCOeval, provider
    sys.modules[name] = module  # both `import a.b.c` and `from a.b import c` look here first
    logger.debug("COCO evaluation by %s (detectron2 has no compiled _C here).", provider)
    return provider


# 2. SetCriterion


def adapt_criterion(criterion: type) -> type:
    """Let a SetCriterion that computes its `weight_dict` itself accept the one `MaskFormer.from_config` hands it.

    Args:
        criterion: Mask2Former's class, in either form.

    Returns:
        `criterion` itself where its constructor takes `weight_dict`, else a subclass that does.
    """
    parameters = inspect.signature(criterion).parameters
    if "weight_dict" in parameters or "class_weight" not in parameters:
        return criterion

    class SetCriterion(criterion):
        def __init__(self, num_classes, matcher, weight_dict=None, **kwargs):
            if weight_dict is None:  # called in its own form
                super().__init__(num_classes, matcher, **kwargs)
                return
            super().__init__(num_classes, matcher, class_weight=0, mask_weight=0, dice_weight=0, num_layers=0, **kwargs)
            self.weight_dict = weight_dict  # complete, with the auxiliary losses of every layer

    return SetCriterion


# 3. Mask2Former's source without its extension


@contextlib.contextmanager
def stand_in_for_absent_extension() -> Iterator[None]:
    """Let Mask2Former be imported where its op is not compiled: `install_op` then gives it another one.

    Its source imports the extension at once and needs it only at the first call. Afterwards, any other import of the
    extension fails as before.
    """
    if _EXTENSION in sys.modules or find_spec(_EXTENSION) is not None:
        yield
        return
    sys.modules[_EXTENSION] = types.ModuleType(
        _EXTENSION, "Stand-in by imrsf_d2.compat.upstream: the op is not compiled here."
    )
    try:
        yield
    finally:
        del sys.modules[_EXTENSION]


# 4. Multi-scale deformable attention


def install_op(module: Any, force_plain: bool = False) -> None:
    """Let Mask2Former's MSDeformAttn use the best op for its tensors' device, and raise the op's errors.

    A source build (extension `MultiScaleDeformableAttention`) on a machine with CUDA is left, or put back, as it was.

    Args:
        module: Mask2Former's `ops.modules.ms_deform_attn`, whose two global functions are replaced.
        force_plain: use plain PyTorch on every device.
    """
    if not hasattr(module, "_imrsf_original"):
        module._imrsf_original = (module.MSDeformAttnFunction, module.ms_deform_attn_core_pytorch)
    function, plain = module._imrsf_original
    built = has_source_extension()
    if built and torch.cuda.is_available() and not force_plain:
        module.MSDeformAttnFunction, module.ms_deform_attn_core_pytorch = function, plain
        return
    op = MSDeformOp(plain, source_op=function.apply if built else None, force_plain=force_plain)
    module.MSDeformAttnFunction, module.ms_deform_attn_core_pytorch = op, op.after_apply


def has_source_extension() -> bool:
    """Whether Mask2Former's own CUDA op is compiled (a build on a machine without a GPU leaves an empty extension)."""
    try:
        return hasattr(importlib.import_module(_EXTENSION), "ms_deform_attn_forward")
    except ImportError:
        return False


def verify_op(device: torch.device | str | None = None) -> str:
    """Check the MSDeformAttn op that Mask2Former will use on `device` against the plain one.

    Call it once per process at the start of a run, after the process has its GPU.

    Args:
        device: where the model will be; None = the current GPU, else the CPU.

    Returns:
        CUDA_OP, CPU_OP or PLAIN_OP.

    Raises:
        UpstreamError: if the op fails or gives other numbers (a source build for another GPU, say).
    """
    prepare()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    module = importlib.import_module(_OP_MODULE)
    function, plain = module.MSDeformAttnFunction, module._imrsf_original[1]
    if isinstance(function, MSDeformOp):
        name = function.choice(device)[0]
    elif device.type == "cuda":
        name = CUDA_OP
        logger.debug("MSDeformAttn on cuda: Mask2Former's own compiled op.")
    else:
        logger.debug("MSDeformAttn on the CPU: plain PyTorch (Mask2Former's own op is built for CUDA alone).")
        return PLAIN_OP  # a source build has CUDA kernels only; Mask2Former itself then takes its slow path
    try:
        compare_with_plain(function.apply, plain, device)
    except Exception as error:
        raise UpstreamError(
            f"Mask2Former's MSDeformAttn op ({name}) fails on {device}: {error}. Compile it for this GPU and torch "
            f"{torch.__version__}, or set {OP_VARIABLE}=plain to go on more slowly."
        ) from error
    return name


# 5. Losses compiled by TorchScript


def use_plain_losses(module: Any) -> None:
    """Let a module of Mask2Former call its losses as Python functions, not as compiled by TorchScript.

    On a GPU, TorchScript fuses the sums of the dice loss into one kernel, and raises "Global alloc not supported yet" for
    some numbers of points and masks, the paper's among them. Elsewhere, it rounds otherwise from a loss's second call on.

    Args:
        module: with functions `NAME` and their compiled form `NAME_jit`, which is replaced.
    """
    for name in [name for name in vars(module) if name.endswith("_jit")]:
        setattr(module, name, getattr(module, name.removesuffix("_jit")))
