"""How ViTs that were trained elsewhere name their parameters."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from imrsf_d2.utils.errors import InputError

__all__ = ["Naming", "SOURCES", "find_naming", "in_short"]

_SAME = {part: (part,) for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")}
#: Tokens that our encoder lacks, and everything after the encoder.
_TIMM_DROPPED = (
    "cls_token",
    "dist_token",
    "reg_token",
    "mask_token",
    "head.*",
    "head_dist.*",
    "fc_norm.*",
    "attn_pool.*",
    "pre_logits.*",
)


@dataclass(frozen=True)
class Naming:
    """Names of one kind of checkpoint; `{}` in a name stands for the number of a block or the name of a modality.

    Attributes:
        source: its name for `--from`.
        marker: a name that this kind has, and no kind listed after it.
        block: prefix of the names of a block's parts.
        parts: our part of a block -> theirs, each with a weight and a bias; several are joined in this order.
        norm: the norm after the last block; empty if there is none.
        projection: of patches to tokens. Without `{}` there is one, of the bands red, green and blue.
        positions: the position embedding.
        dropped: patterns (`head.*`) of names that our encoder has no place for.
        class_embed: the embedding of class indices before a projection.
    """

    source: str
    marker: str
    block: str
    parts: Mapping[str, tuple[str, ...]]
    norm: str
    projection: str
    positions: str
    dropped: tuple[str, ...]
    class_embed: str = ""

    def depth(self, names: Collection[str]) -> int:
        """The number of blocks."""
        pattern = re.compile(re.escape(self.block).replace(r"\{\}", r"(\d+)"))
        return 1 + max(int(match[1]) for match in map(pattern.match, names) if match)

    def modalities(self, names: Collection[str]) -> list[str]:
        """The modalities that have a patch projection, in order of appearance."""
        if "{}" not in self.projection:
            return ["rgb"] if f"{self.projection}.weight" in names else []
        pattern = re.compile(re.escape(f"{self.projection}.weight").replace(r"\{\}", r"(\w+)"))
        return [match[1] for match in map(pattern.fullmatch, names) if match]


def _torchvision(first: str, second: str) -> Naming:
    """torchvision's VisionTransformer; its MLP layers changed their names once."""
    return Naming(
        "vit",
        f"encoder.layers.encoder_layer_0.mlp.{first}.weight",
        "encoder.layers.encoder_layer_{}.",
        {
            "norm1": ("ln_1",),
            "attn.qkv": ("self_attention.in_proj_",),
            "attn.proj": ("self_attention.out_proj",),
            "norm2": ("ln_2",),
            "mlp.fc1": (f"mlp.{first}",),
            "mlp.fc2": (f"mlp.{second}",),
        },
        "encoder.ln",
        "conv_proj",
        "encoder.pos_embedding",
        ("class_token", "heads.*"),
    )


def _hugging_face(prefix: str, block: str, query_key_value: tuple[str, ...], out: str, first: str, second: str) -> Naming:
    """Hugging Face's ViTModel, alone or below a task's head (`prefix`)."""
    block = prefix + block
    embeddings = f"{prefix}embeddings."
    return Naming(
        "vit",
        block.format(0) + query_key_value[0] + ".weight",
        block,
        {
            "norm1": ("layernorm_before",),
            "attn.qkv": query_key_value,
            "attn.proj": (out,),
            "norm2": ("layernorm_after",),
            "mlp.fc1": (first,),
            "mlp.fc2": (second,),
        },
        f"{prefix}layernorm",
        f"{embeddings}patch_embeddings.projection",
        f"{embeddings}position_embeddings",
        (f"{embeddings}cls_token", f"{embeddings}mask_token", f"{prefix}pooler.*", "classifier.*", "decoder.*"),
    )


_TIMM = Naming("timm", "blocks.0.norm1.weight", "blocks.{}.", _SAME, "norm", "patch_embed.proj", "pos_embed", _TIMM_DROPPED)
_MAE = Naming(
    "mae",
    "decoder_embed.weight",
    "blocks.{}.",
    _SAME,
    "norm",
    "patch_embed.proj",
    "pos_embed",
    (*_TIMM_DROPPED, "decoder_*"),
)
_MULTIMAE = Naming(
    "multimae",
    "encoder.0.norm1.weight",
    "encoder.{}.",
    _SAME,
    "",
    "input_adapters.{}.proj",
    "input_adapters.{}.pos_emb",
    ("global_tokens", "output_adapters.*"),
    class_embed="input_adapters.{}.class_emb.weight",
)
#: The kind of a file is the first one whose marker it has.
_NAMINGS = (
    _MULTIMAE,
    _MAE,
    _TIMM,
    _torchvision("0", "3"),
    _torchvision("linear_1", "linear_2"),
    *(
        _hugging_face(
            prefix,
            "encoder.layer.{}.",
            tuple(f"attention.attention.{n}" for n in ("query", "key", "value")),
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        )
        for prefix in ("", "vit.")
    ),
    # transformers 5.
    *(
        _hugging_face(
            prefix, "layers.{}.", tuple(f"attention.{n}_proj" for n in "qkv"), "attention.o_proj", "mlp.fc1", "mlp.fc2"
        )
        for prefix in ("", "vit.")
    ),
)
#: What `--from` takes.
SOURCES = tuple(sorted({naming.source for naming in _NAMINGS}))


def find_naming(names: Collection[str], source: str, origin: str) -> Naming:
    """Find how a checkpoint names its parameters.

    Args:
        names: of its tensors.
        source: one of `SOURCES`.
        origin: the file, for messages.

    Raises:
        ValueError: if they are named as in another kind of checkpoint.
    """
    found = next((naming for naming in _NAMINGS if naming.marker in names), None)
    # MAE also publishes its encoder alone, with the names of timm.
    if source == "mae" and found is _TIMM:
        return _MAE
    if found is None:
        raise InputError(f"{origin} holds {in_short(names)}, expected the names of a ViT: {', '.join(SOURCES)}.")
    if found.source != source:
        raise InputError(
            f"{origin} looks like {found.source} (it has {found.marker}), expected {source} because of --from; "
            f"try --from {found.source}."
        )
    return found


def in_short(names: Collection[str], most: int = 6) -> str:
    """Names for a message: those of all blocks appear once, and a long list is cut."""
    distinct = list(dict.fromkeys(re.sub(r"(?<=[._])\d+(?=\.)", "*", name) for name in names))
    return ", ".join(distinct[:most]) + (f" and {len(distinct) - most} more" if len(distinct) > most else "")
