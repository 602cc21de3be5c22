"""The layouts that a sample's `image` may have, and the one place where a model with our backbone reads them.

Detectron2's models normalize and pad images before their backbone gets them: by then, padding cannot be told from data. So a model
that holds our backbone looks at its samples first: bands alone get their validity channels, and what fits no layout is an
error that says what to do. Any model may hold it, at any depth: modules are noticed when the backbone becomes a part of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.sensor_batch import holds_data
from imrsf_d2.modeling.vit import IncompleteMultimodalViT
from imrsf_d2.utils.errors import InputError

__all__ = ["PADDING_VALUE", "check_statistics", "read_layouts_before_models", "to_complete_layout", "with_validity"]

#: What Detectron2's `FixedSizeCrop` and Mask2Former's mappers pad images with in training, at their right and bottom border.
PADDING_VALUE = 128.0


def to_complete_layout(
    sample: Mapping[str, Any], modalities: ModalitySet, *, alpha: bool = False, padding_value: float | None = PADDING_VALUE
) -> Mapping[str, Any]:
    """A sample whose `image` has its validity channels.

    Args:
        sample: a mapper's. `image` [C, H, W] holds the bands in the units after TRANSFORM; or [C + M, H, W] the validity
            channels too, and is left as it is. A `padding_mask` [H, W] is True where the mapper has padded.
        alpha: `image` is [C + 1, H, W] with an alpha channel, above 0 where there is data.
        padding_value: where no `padding_mask` marks any, rows at the bottom and columns at the right in which every band
            has this value are padding; None = there is none.

    Returns:
        The sample with `image` [C + M, H, W] float32. A modality is invalid in padding, where any of its bands is not finite,
        where all of them have its NODATA (unless it is transformed), and where alpha is 0; there, it holds the mean.

    Raises:
        ValueError: if the image has another layout; the message names both layouts, and what to do.
    """
    image = sample["image"]
    if not isinstance(image, Tensor) or image.ndim != 3:
        shape = f"{list(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        raise _layout_error(sample, modalities, shape)
    if alpha:
        if len(image) != modalities.num_bands + 1:
            raise InputError(
                f"image{_of(sample)} is {list(image.shape)}, expected [{modalities.num_bands + 1}, H, W] with alpha=True: the "
                f"bands of {modalities}, then alpha. Without alpha, leave alpha=True out."
            )
        image, opaque = image[:-1], image[-1] > 0
    elif len(image) == modalities.num_channels:
        _check_validity(sample, image[modalities.num_bands :], modalities)
        return sample
    else:
        opaque = torch.ones(image.shape[1:], dtype=torch.bool, device=image.device)
    if len(image) != modalities.num_bands:
        raise _layout_error(sample, modalities, f"{list(image.shape)}")

    padding = torch.as_tensor(sample.get("padding_mask", False), device=image.device).bool()
    if padding_value is not None and not padding.any():  # with Detectron2's present crop, Mask2Former's mask marks nothing
        padding = _border(image, padding_value)
    opaque = opaque & ~padding
    complete = image.new_empty((modalities.num_channels, *image.shape[1:]), dtype=torch.float32)
    for modality in modalities:
        values = image[modalities.bands(modality.name)]
        valid = opaque & holds_data(values, modality)
        mean = torch.tensor(modality.mean, device=image.device)[:, None, None]
        complete[modalities.bands(modality.name)] = torch.where(valid, values.to(torch.float32), mean)
        complete[modalities.validity(modality.name)] = valid
    return {**sample, "image": complete}


class _WithValidity:
    """A mapper whose samples have validity channels; it can be sent to the processes of a loader."""

    def __init__(self, mapper: Callable, modalities: ModalitySet, alpha: bool, padding_value: float | None):
        self.mapper = mapper
        self.modalities = modalities
        self.alpha = alpha
        self.padding_value = padding_value

    def __call__(self, dataset_dict: Mapping) -> Mapping | None:
        sample = self.mapper(dataset_dict)
        if sample is None:  # Detectron2 then takes another one
            return None
        return to_complete_layout(sample, self.modalities, alpha=self.alpha, padding_value=self.padding_value)


def with_validity(
    mapper: Callable, cfg, *, alpha: bool = False, padding_value: float | None = PADDING_VALUE
) -> Callable[[Mapping], Mapping | None]:
    """Let the samples of any mapper say which pixels hold data.

    A model with our backbone does the same with the samples that it gets. A mapper needs this if its images end in an alpha
    channel, pad with another value, or must not be taken to pad.

    Args:
        mapper: gives samples with `image` [C, H, W], in the order of the modalities.
        cfg: config with `MODEL.IMRSF.MODALITIES`; or the modalities.
        alpha, padding_value: see `to_complete_layout`.

    Returns:
        A mapper.
    """
    modalities = ModalitySet.from_config(cfg) if hasattr(cfg, "MODEL") else ModalitySet(cfg)
    return _WithValidity(mapper, modalities, alpha, padding_value)


def check_statistics(mean: Iterable[float], std: Iterable[float], modalities: ModalitySet, rel_tol: float = 1e-6) -> None:
    """See that a model normalizes as its modalities say, and leaves validity alone.

    Args:
        mean, std: the model's, of each channel.
        rel_tol: relative difference that is none.

    Raises:
        ValueError: if they are others; the message says what to do.
    """
    for key, found, expected in (
        ("PIXEL_MEAN", list(mean), modalities.pixel_mean),
        ("PIXEL_STD", list(std), modalities.pixel_std),
    ):
        if len(found) != len(expected) or not all(
            math.isclose(one, other, rel_tol=rel_tol, abs_tol=1e-9) for one, other in zip(found, expected)
        ):
            raise InputError(
                f"MODEL.{key} is {found}, expected {expected} (the bands of {modalities}, then one validity channel each): call "
                "imrsf_d2.finalize_config(cfg) after the last merge, which takes both from MODEL.IMRSF.MODALITIES; a model "
                "that is built without a config takes pixel_mean and pixel_std of imrsf_d2.ModalitySet(modalities)."
            )


class _LayoutReader:
    """Before the forward of a model: its samples in the complete layout. Other inputs than Detectron2's are left alone."""

    def __init__(self, modalities: ModalitySet):
        self.modalities = modalities
        self.checked = False

    def read(self, samples: Sequence[Mapping], training: bool) -> list[Mapping]:
        """The samples in the complete layout. No mapper of Detectron2 or Mask2Former pads images to be predicted."""
        value = PADDING_VALUE if training else None
        return [to_complete_layout(sample, self.modalities, padding_value=value) for sample in samples]

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
        samples: Any = args[0] if args else kwargs.get("batched_inputs")
        mean, std = getattr(module, "pixel_mean", None), getattr(module, "pixel_std", None)
        if mean is None or std is None or not _are_samples(samples):
            return None
        if not self.checked:
            # A model in half precision has them rounded.
            check_statistics(mean.flatten().tolist(), std.flatten().tolist(), self.modalities, rel_tol=1e-2)
            self.checked = True
        complete = self.read(samples, module.training)
        return ((complete, *args[1:]), kwargs) if args else (args, {**kwargs, "batched_inputs": complete})


def read_layouts_before_models() -> None:
    """From now on, modules that our backbone becomes a part of read the layout of their samples first."""
    register_module_module_registration_hook(_notice)


def _notice(module: nn.Module, name: str, part: nn.Module | None) -> None:
    """Called by PyTorch when a module becomes a part of another one."""
    inner = part if isinstance(part, IncompleteMultimodalViT) else _reader_of(part)
    if inner is None:
        return
    _read_layouts_when_called_in_part(type(module))
    reader = _reader_of(module)
    if reader is None:
        module.register_forward_pre_hook(_LayoutReader(inner.modalities), with_kwargs=True)
    elif reader.modalities is not inner.modalities:
        reader.modalities, reader.checked = inner.modalities, False


def _read_layouts_when_called_in_part(model: type) -> None:
    """Let models of a class read layouts in `preprocess_image` too: `inference` of Detectron2's models calls it, and so do users."""
    preprocess = getattr(model, "preprocess_image", None)
    if preprocess is None or hasattr(preprocess, "reads_layouts"):
        return

    @functools.wraps(preprocess)
    def read_first(self, batched_inputs, *args, **kwargs):
        reader = _reader_of(self)
        if reader is not None and _are_samples(batched_inputs):
            batched_inputs = reader.read(batched_inputs, self.training)
        return preprocess(self, batched_inputs, *args, **kwargs)

    vars(read_first)["reads_layouts"] = True
    setattr(model, "preprocess_image", read_first)  # noqa: B010


def _reader_of(module: nn.Module | None) -> _LayoutReader | None:
    hooks = getattr(module, "_forward_pre_hooks", {}).values()
    return next((hook for hook in hooks if isinstance(hook, _LayoutReader)), None)


def _are_samples(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(sample, Mapping) and "image" in sample for sample in value)


def _border(image: Tensor, value: float) -> Tensor:
    """[H, W] bool, True in the rows at the bottom and the columns at the right in which all bands have a value."""
    equal = (image == value).all(dim=0)
    rows = _trailing(equal.all(dim=1))
    columns = _trailing((equal | rows[:, None]).all(dim=0))
    return rows[:, None] | columns


def _trailing(flags: Tensor) -> Tensor:
    """[n] bool, True from where all flags are True."""
    return flags.flip(0).int().cumprod(0).flip(0).bool()


def _check_validity(sample: Mapping, validity: Tensor, modalities: ModalitySet) -> None:
    """See that what stands for validity can be validity, where looking costs no wait for a GPU."""
    if validity.device.type == "cpu" and not ((validity >= 0) & (validity <= 1)).all():
        raise InputError(
            f"image{_of(sample)} has {modalities.num_channels} channels, so the last {len(modalities)} should be validity (0 or 1) "
            f"for {modalities}, but hold {float(validity.min()):g} to {float(validity.max()):g}. If they are bands, "
            "name them in MODEL.IMRSF.MODALITIES; if the last is alpha, wrap the mapper: imrsf_d2.with_validity(mapper, cfg, alpha=True)."
        )


def _layout_error(sample: Mapping, modalities: ModalitySet, found: str) -> InputError:
    return InputError(
        f"image{_of(sample)} is {found}, expected a tensor [{modalities.num_bands}, H, W] (bands alone, NaN where there is no data) "
        f"or [{modalities.num_channels}, H, W] (bands, then one validity channel each: 1 = data) for {modalities}. Name what the "
        "mapper gives in MODEL.IMRSF.MODALITIES, in its order; if it ends in alpha, wrap the mapper: "
        "imrsf_d2.with_validity(mapper, cfg, alpha=True)."
    )


def _of(sample: Mapping) -> str:
    return f" of {sample['file_name']}" if "file_name" in sample else ""
