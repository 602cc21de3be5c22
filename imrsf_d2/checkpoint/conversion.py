"""From the weights of a ViT that was trained elsewhere to weights of our encoder, with a table of what became of each."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor

from imrsf_d2.checkpoint.files import WRITABLE, check_suffix, read_weights, write_weights
from imrsf_d2.checkpoint.naming import Naming, find_naming, in_short
from imrsf_d2.checkpoint.positions import compare_positions
from imrsf_d2.checkpoint.projections import Projection, adapt_projection
from imrsf_d2.modeling.encoder import IncompleteMultimodalEncoder
from imrsf_d2.modeling.vit import MAP_MODULES
from imrsf_d2.utils.errors import InputError, OccupiedError

__all__ = ["Conversion", "Row", "convert_file", "convert_weights"]

#: Width of published ViTs (Ti, S, B, L, H) -> their number of heads, which checkpoints do not store.
USUAL_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}


@dataclass(frozen=True)
class Row:
    """What became of some tensors: their names in the source and in our encoder, their shapes, and how they were converted."""

    source: str
    ours: str
    shape: str
    how: str


@dataclass(frozen=True)
class Conversion:
    """Weights for our encoder, and where they come from.

    Attributes:
        tensors: `backbone.<name>` -> float32 tensor, for the parameters that the source fills.
        rows: every tensor of the source and every parameter of the encoder.
        num_filled, num_parameters: filled and all parameters of the encoder, without those that make maps.
    """

    tensors: dict[str, Tensor]
    rows: list[Row]
    num_filled: int
    num_parameters: int

    def __str__(self) -> str:
        table = tabulate(
            [[row.source, row.ours, row.shape, row.how] for row in self.rows],
            headers=["source", "ours", "shape", "how"],
            tablefmt="plain",
            disable_numparse=True,
        )
        share = self.num_filled / self.num_parameters
        return f"{table}\n\n{100 * share:.1f} % of the encoder's {self.num_parameters:,} parameters are filled."


def convert_file(
    source: str, path: str | os.PathLike, output: str | os.PathLike, encoder: IncompleteMultimodalEncoder
) -> Conversion:
    """Convert a checkpoint to one that `MODEL.WEIGHTS` takes.

    Args:
        source: the kind of checkpoint, one of `naming.SOURCES`.
        path: the checkpoint (see `files.read_weights`).
        output: the file to write, `.pth` or `.safetensors`.
        encoder: whose weights these become; only its shapes are looked at (it may be on the meta device).

    Raises:
        FileNotFoundError: if there is no checkpoint.
        FileExistsError: if `output` exists; it may be the result of a training run.
        ValueError: if the checkpoint cannot be read, is of another kind, or cannot be represented by the encoder.
    """
    check_suffix(output, WRITABLE)
    if os.path.lexists(output):
        what = "is the input" if Path(path).resolve() == Path(output).resolve() else "exists and is left alone"
        raise OccupiedError(f"the output {os.fspath(output)} {what}; choose another file.")
    conversion = convert_weights(source, read_weights(path), encoder, os.fspath(path))
    write_weights(output, conversion.tensors)
    return conversion


def convert_weights(
    source: str, tensors: Mapping[str, Tensor], encoder: IncompleteMultimodalEncoder, origin: str = "the checkpoint"
) -> Conversion:
    """Convert weights: blocks and the final norm by name, patch projections as `adapt_projection` says.

    Args:
        source: the kind of checkpoint, one of `naming.SOURCES`.
        tensors: name -> tensor.
        encoder: whose weights these become; only its shapes are looked at.
        origin: the file that they come from, for messages.

    Raises:
        ValueError: if they are of another kind, depth or width, or hold what the encoder cannot represent.
    """
    naming = find_naming(tensors, source, origin)
    wanted = {name: parameter for name, parameter in encoder.named_parameters() if name.split(".")[0] not in MAP_MODULES}
    depth = naming.depth(tensors)
    if depth != len(encoder.blocks):
        raise InputError(f"{origin} has {depth} blocks, expected MODEL.IMRSF.DEPTH = {len(encoder.blocks)}.")
    rest = dict(tensors)  # what is not accounted for yet
    found: dict[str, Tensor] = {}
    rows = _take_blocks(naming, rest, depth, found, origin)
    rows += _take_norm(naming, rest, found)
    _check_sizes(naming, found, wanted, origin)
    rows.append(_heads_row(encoder))
    sources = _take_projections(naming, rest, rows, origin)
    for modality in encoder.modalities:
        prefix = f"patch_embed.{modality.name}."
        adapted = adapt_projection(modality, sources, encoder.patch_size)
        found |= {prefix + name: tensor for name, tensor in adapted.tensors.items()}
        shapes = [parameter.shape for name, parameter in wanted.items() if name.startswith(prefix)]
        rows.append(Row(adapted.key, prefix + "*", _shapes(shapes), adapted.how))
    rows += _dropped_rows(naming, rest, origin)
    rows += _random_rows({name: parameter for name, parameter in wanted.items() if name not in found})
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise InputError(
                f"{origin}: what becomes {name} is {_shapes([tensor.shape])}, expected {_shapes([wanted[name].shape])}."
            )
    return Conversion(
        {f"backbone.{name}": tensor.float().contiguous() for name, tensor in found.items()},
        rows,
        num_filled=sum(tensor.numel() for tensor in found.values()),
        num_parameters=sum(parameter.numel() for parameter in wanted.values()),
    )


def _take_blocks(naming: Naming, rest: dict[str, Tensor], depth: int, found: dict[str, Tensor], origin: str) -> list[Row]:
    """Move the blocks from `rest` to `found`.

    Raises:
        ValueError: if their parameters are not exactly ours: with some left out or made up, blocks compute something else.
    """
    block = re.compile(re.escape(naming.block).replace(r"\{\}", r"\d+"))
    theirs = {
        f"{ours}.{kind}": [_key(part, kind) for part in parts]
        for ours, parts in naming.parts.items()
        for kind in ("weight", "bias")
    }
    keys = {
        f"blocks.{i}.{ours}": [naming.block.format(i) + name for name in names]
        for i in range(depth)
        for ours, names in theirs.items()
    }
    used = dict.fromkeys(key for names in keys.values() for key in names)
    missing = [key for key in used if key not in rest]
    extra = [key for key in rest if block.match(key) and key not in used]
    if missing or extra:
        parts = [f"lacks {in_short(missing)}"] * bool(missing) + [f"has {in_short(extra)} too"] * bool(extra)
        raise InputError(
            f"{origin} {' and '.join(parts)}; expected blocks of two norms, attention with biases and a "
            "two-layer MLP, and nothing else (no LayerScale, no norm of queries and keys, no gates): the "
            "encoder cannot represent them."
        )
    for ours, names in keys.items():
        values = [rest.pop(key) for key in names]
        found[ours] = torch.cat(values) if len(values) > 1 else values[0]
    span = f"0-{depth - 1}" if depth > 1 else "0"
    return [
        Row(
            naming.block.format(span) + _braces(parts),
            f"blocks.{span}.{ours}",
            _shapes(found[f"blocks.0.{ours}.{kind}"].shape for kind in ("weight", "bias")),
            f"as is, {len(parts)} joined" if len(parts) > 1 else "as is",
        )
        for ours, parts in naming.parts.items()
    ]


def _take_norm(naming: Naming, rest: dict[str, Tensor], found: dict[str, Tensor]) -> list[Row]:
    """Move the final norm, which MultiMAE and models that average their tokens first do not have."""
    keys = {f"norm.{kind}": f"{naming.norm}.{kind}" for kind in ("weight", "bias")}
    if not all(key in rest for key in keys.values()):
        return []
    found |= {ours: rest.pop(key) for ours, key in keys.items()}
    return [Row(naming.norm, "norm", _shapes(found[ours].shape for ours in keys), "as is")]


def _check_sizes(naming: Naming, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], origin: str) -> None:
    """Name the config key behind a shape that does not fit."""
    (dim,), (expected_dim,) = found["blocks.0.norm1.weight"].shape, wanted["blocks.0.norm1.weight"].shape
    if dim != expected_dim:
        raise InputError(f"{origin} has tokens of width {dim}, expected MODEL.IMRSF.EMBED_DIM = {expected_dim}.")
    hidden, taken = found["blocks.0.mlp.fc1.weight"].shape[0], found["blocks.0.mlp.fc2.weight"].shape[1]
    if hidden != taken:
        raise InputError(
            f"{origin} has gated MLPs: {naming.parts['mlp.fc1'][0]} gives {hidden} values and "
            f"{naming.parts['mlp.fc2'][0]} takes {taken}, expected the same number: the encoder cannot "
            "represent them."
        )
    expected = wanted["blocks.0.mlp.fc1.weight"].shape[0]
    if hidden != expected:
        raise InputError(
            f"{origin} has MLPs of width {hidden}, {hidden / dim:g} times that of a token; expected "
            f"MODEL.IMRSF.MLP_RATIO = {expected / dim:g}."
        )


def _heads_row(encoder: IncompleteMultimodalEncoder) -> Row:
    heads, usual = encoder.num_heads, USUAL_HEADS.get(encoder.embed_dim)
    how = "assumed (MODEL.IMRSF.NUM_HEADS); checkpoints do not store the number of heads"
    if usual not in (None, heads):
        how = f"WARNING: {how}, and ViTs of this width usually have {usual}"
    return Row("", "attention", f"{heads} heads of {encoder.embed_dim // heads}", how)


def _take_projections(naming: Naming, rest: dict[str, Tensor], rows: list[Row], origin: str) -> dict[str, Projection]:
    """Move the source's projections and position embeddings out of `rest`, and note what becomes of the latter.

    If a position embedding is ours with rows and columns exchanged, the blocks have learned to take our columns for rows:
    they see every image transposed. Transposing the patch kernels makes patches and positions consistent again.
    """
    sources = {}
    for modality in naming.modalities(rest):
        key, positions_key = naming.projection.format(modality), naming.positions.format(modality)
        weight = rest.pop(f"{key}.weight")
        bias, positions = rest.pop(f"{key}.bias", None), rest.pop(positions_key, None)
        if weight.ndim != 4 or positions is not None and positions.ndim not in (3, 4):
            raise InputError(
                f"{origin}: {key}.weight is {_shapes([weight.shape])}, expected D x bands x height x "
                "width, and its positions 1 x D x height x width or 1 x tokens x D."
            )
        if positions is not None:
            match = compare_positions(positions)
            rows.append(Row(positions_key, "", _shapes([positions.shape]), match.how))
            weight = weight.transpose(2, 3) if match.exchanged else weight
        sources[modality] = Projection(
            key,
            weight.float(),
            weight.new_zeros(len(weight)) if bias is None else bias,
            rest.pop(naming.class_embed.format(modality), None),
        )
    return sources


def _dropped_rows(naming: Naming, rest: Mapping[str, Tensor], origin: str) -> list[Row]:
    """One row for each kind of tensor that the encoder has no place for.

    Raises:
        ValueError: if there is a tensor that must not be left out.
    """
    kinds = {pattern: fnmatch.filter(rest, pattern) for pattern in naming.dropped}
    if unknown := [name for name in rest if not any(name in names for names in kinds.values())]:
        raise InputError(
            f"{origin} also has {in_short(unknown)}, expected only the parameters of a plain ViT as {naming.source} "
            "names them: the encoder cannot represent these."
        )
    how = "dropped: the encoder has no place for it"
    return [
        Row(pattern, "", _shape_or_number([rest[name] for name in names]), how) for pattern, names in kinds.items() if names
    ]


def _random_rows(missing: Mapping[str, Tensor]) -> list[Row]:
    """One row for each part of the encoder that the source does not fill; patch projections have theirs already."""
    parts: dict[str, list[str]] = {}
    for name in missing:
        if not name.startswith("patch_embed."):
            parts.setdefault(name.partition(".")[0], []).append(name)
    return [
        Row("", part if part in names else f"{part}.*", _shape_or_number([missing[name] for name in names]), "left random")
        for part, names in parts.items()
    ]


def _key(part: str, kind: str) -> str:
    # PyTorch's own attention calls them in_proj_weight and in_proj_bias.
    return part + kind if part.endswith("_") else f"{part}.{kind}"


def _braces(names: tuple[str, ...]) -> str:
    """`a.{q,k}` for a.q and a.k."""
    if len(names) == 1:
        return names[0]
    prefix = os.path.commonprefix(names)
    return prefix + "{" + ",".join(name[len(prefix) :] for name in names) + "}"


def _shape_or_number(tensors: list[Tensor]) -> str:
    return _shapes([tensors[0].shape]) if len(tensors) == 1 else f"{len(tensors)} tensors"


def _shapes(shapes: Iterable[Iterable[int]]) -> str:
    return ", ".join(" x ".join(map(str, shape)) for shape in shapes)
