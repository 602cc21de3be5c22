"""The patch projections of our modalities, taken from those of a source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from imrsf_d2.modalities import Modality

__all__ = ["Adapted", "Projection", "adapt_projection"]

#: Names of one-band elevation models, for which MultiMAE's depth is the closest match.
ELEVATION = ("dsm", "ndsm", "dem", "dtm", "height", "elevation")


@dataclass(frozen=True)
class Projection:
    """A source's projection of patches to tokens.

    Attributes:
        key: its name in the source.
        weight: [D, C, P, P].
        bias: [D].
        class_embed: [K, 64] for class indices, or None.
    """

    key: str
    weight: Tensor
    bias: Tensor
    class_embed: Tensor | None = None


@dataclass(frozen=True)
class Adapted:
    """The weights for one of our modalities.

    Attributes:
        key: the projection's name in the source; empty if none fits.
        tensors: by name below `patch_embed.<modality>.`; empty if it stays random.
        how: in words.
    """

    key: str
    tensors: dict[str, Tensor]
    how: str


def adapt_projection(modality: Modality, sources: Mapping[str, Projection], patch_size: int) -> Adapted:
    """Choose and adapt a projection.

    A modality takes the projection with its name and number of bands unchanged, a one-band elevation model takes `depth`,
    and any three bands take `rgb`. With another number of bands, each takes the mean over the bands of `rgb`, scaled so
    that equal values in all bands give the same token as before.

    Args:
        modality: ours.
        sources: modality of the source -> its projection.
        patch_size: ours, in pixels. A projection for another size is not resampled.
    """
    if modality.categorical:
        return _adapt_classes(modality, sources, patch_size)
    bands = modality.channels
    name = _choose(modality, {name: p for name, p in sources.items() if p.class_embed is None})
    if name is None:
        return Adapted("", {}, "left random: the source has no projection for such a modality")
    source = sources[name]
    if (mismatch := _other_patch(source, patch_size)) is not None:
        return mismatch
    theirs = source.weight.shape[1]
    if theirs == bands:
        return Adapted(source.key, {"proj.weight": source.weight, "proj.bias": source.bias}, "as is")
    weight = source.weight.mean(dim=1, keepdim=True) * (theirs / bands)
    return Adapted(
        source.key,
        {"proj.weight": weight.repeat(1, bands, 1, 1), "proj.bias": source.bias},
        f"mean over {theirs} bands, x {theirs}/{bands} for each of {bands}",
    )


def _choose(modality: Modality, sources: Mapping[str, Projection]) -> str | None:
    bands = {name: projection.weight.shape[1] for name, projection in sources.items()}
    if bands.get(modality.name) == modality.channels:
        return modality.name
    if modality.name in ELEVATION and modality.channels == 1 == bands.get("depth"):
        return "depth"
    return "rgb" if "rgb" in bands else None


def _adapt_classes(modality: Modality, sources: Mapping[str, Projection], patch_size: int) -> Adapted:
    """Class indices have a meaning only if the classes are the same; all that is known of them is their number."""
    candidates = [(p, p.class_embed) for p in sources.values() if p.class_embed is not None]
    if not candidates:
        return Adapted("", {}, "left random: the source has no classes")
    source, embedding = next(((p, e) for p, e in candidates if len(e) == modality.classes), (None, None))
    if source is None or embedding is None:
        counts = ", ".join(str(len(e)) for _, e in candidates)
        return Adapted(candidates[0][0].key, {}, f"left random: {modality.classes} classes, the source has {counts}")
    if (mismatch := _other_patch(source, patch_size)) is not None:
        return mismatch
    return Adapted(
        source.key,
        {"class_embed.weight": embedding, "proj.weight": source.weight, "proj.bias": source.bias},
        "as is, if the classes are the same",
    )


def _other_patch(source: Projection, patch_size: int) -> Adapted | None:
    height, width = source.weight.shape[2:]
    if height == width == patch_size:
        return None
    return Adapted(source.key, {}, f"left random: patches of {height} x {width} px, ours {patch_size} x {patch_size}")
