"""The same Mask2Former in two libraries: our configs and checkpoints for transformers' model, and its weights for ours.

All parameters correspond, those of the backbone and those of the head. The names differ, and transformers keeps the query, key
and value projections of the decoder's self-attention apart, which are one matrix in Mask2Former.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

from imrsf_d2.checkpoint.files import read_weights
from imrsf_d2.hf.configuration import ImrsfConfig
from imrsf_d2.modeling.arguments import backbone_arguments
from imrsf_d2.modeling.vit import MAP_MODULES
from imrsf_d2.utils.errors import InputError, some_of

__all__ = ["load_weights", "mask2former_config", "weights_of"]

_PIXELS, _QUERIES = "model.pixel_level_module.decoder", "model.transformer_module"
_LAYER = f"{_QUERIES}.decoder.layers.{{}}"
#: Names of Mask2Former's parameters -> those of transformers, {} for a number; both are beginnings, the rest is the same.
_NAMES = {
    "backbone.": "model.pixel_level_module.encoder.vit.",
    "sem_seg_head.pixel_decoder.input_proj.{}.": f"{_PIXELS}.input_projections.{{}}.",
    "sem_seg_head.pixel_decoder.transformer.level_embed": f"{_PIXELS}.level_embed",
    "sem_seg_head.pixel_decoder.transformer.encoder.layers.{}.self_attn.": f"{_PIXELS}.encoder.layers.{{}}.self_attn.",
    "sem_seg_head.pixel_decoder.transformer.encoder.layers.{}.norm1.": f"{_PIXELS}.encoder.layers.{{}}.self_attn_layer_norm.",
    "sem_seg_head.pixel_decoder.transformer.encoder.layers.{}.linear1.": f"{_PIXELS}.encoder.layers.{{}}.fc1.",
    "sem_seg_head.pixel_decoder.transformer.encoder.layers.{}.linear2.": f"{_PIXELS}.encoder.layers.{{}}.fc2.",
    "sem_seg_head.pixel_decoder.transformer.encoder.layers.{}.norm2.": f"{_PIXELS}.encoder.layers.{{}}.final_layer_norm.",
    "sem_seg_head.pixel_decoder.mask_features.": f"{_PIXELS}.mask_projection.",
    "sem_seg_head.pixel_decoder.adapter_{}.norm.": f"{_PIXELS}.adapter_{{}}.1.",
    "sem_seg_head.pixel_decoder.adapter_{}.": f"{_PIXELS}.adapter_{{}}.0.",
    "sem_seg_head.pixel_decoder.layer_{}.norm.": f"{_PIXELS}.layer_{{}}.1.",
    "sem_seg_head.pixel_decoder.layer_{}.": f"{_PIXELS}.layer_{{}}.0.",
    "sem_seg_head.predictor.transformer_self_attention_layers.{}.self_attn.": f"{_LAYER}.self_attn.",
    "sem_seg_head.predictor.transformer_self_attention_layers.{}.norm.": f"{_LAYER}.self_attn_layer_norm.",
    "sem_seg_head.predictor.transformer_cross_attention_layers.{}.multihead_attn.": f"{_LAYER}.cross_attn.",
    "sem_seg_head.predictor.transformer_cross_attention_layers.{}.norm.": f"{_LAYER}.cross_attn_layer_norm.",
    "sem_seg_head.predictor.transformer_ffn_layers.{}.linear1.": f"{_LAYER}.fc1.",
    "sem_seg_head.predictor.transformer_ffn_layers.{}.linear2.": f"{_LAYER}.fc2.",
    "sem_seg_head.predictor.transformer_ffn_layers.{}.norm.": f"{_LAYER}.final_layer_norm.",
    "sem_seg_head.predictor.decoder_norm.": f"{_QUERIES}.decoder.layernorm.",
    "sem_seg_head.predictor.query_feat.": f"{_QUERIES}.queries_features.",
    "sem_seg_head.predictor.query_embed.": f"{_QUERIES}.queries_embedder.",
    "sem_seg_head.predictor.level_embed.": f"{_QUERIES}.level_embed.",
    "sem_seg_head.predictor.input_proj.{}.": f"{_QUERIES}.input_projections.{{}}.",
    "sem_seg_head.predictor.class_embed.": "class_predictor.",
    "sem_seg_head.predictor.mask_embed.layers.{}.": f"{_QUERIES}.decoder.mask_predictor.mask_embedder.{{}}.0.",
    "criterion.": "criterion.",
}
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")


def mask2former_config(cfg) -> Mask2FormerConfig:
    """The configuration of the same model in transformers.

    Args:
        cfg: a config of ours, after `finalize_config`.

    Raises:
        ValueError: if a key chooses what transformers' Mask2Former does not have.
    """
    head, former = cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.MASK_FORMER
    for key, value, expected in (
        ("MODEL.META_ARCHITECTURE", cfg.MODEL.META_ARCHITECTURE, "MaskFormer"),
        ("MODEL.BACKBONE.NAME", cfg.MODEL.BACKBONE.NAME, "build_imrsf_vit_backbone"),
        ("MODEL.SEM_SEG_HEAD.NAME", head.NAME, "MaskFormerHead"),
        ("MODEL.SEM_SEG_HEAD.PIXEL_DECODER_NAME", head.PIXEL_DECODER_NAME, "MSDeformAttnPixelDecoder"),
        (
            "MODEL.MASK_FORMER.TRANSFORMER_DECODER_NAME",
            former.TRANSFORMER_DECODER_NAME,
            "MultiScaleMaskedTransformerDecoder",
        ),
    ):
        if value != expected:
            raise InputError(f"{key} is {value!r}, expected {expected!r}, the only one that transformers has.")
    return Mask2FormerConfig(
        backbone_config=ImrsfConfig(**backbone_arguments(cfg)),
        num_labels=head.NUM_CLASSES,
        ignore_value=head.IGNORE_VALUE,
        feature_size=head.CONVS_DIM,
        mask_feature_size=head.MASK_DIM,
        common_stride=head.COMMON_STRIDE,
        encoder_layers=head.TRANSFORMER_ENC_LAYERS,
        hidden_dim=former.HIDDEN_DIM,
        num_attention_heads=former.NHEADS,
        dropout=former.DROPOUT,
        dim_feedforward=former.DIM_FEEDFORWARD,
        decoder_layers=former.DEC_LAYERS,
        pre_norm=former.PRE_NORM,
        enforce_input_projection=former.ENFORCE_INPUT_PROJ,
        num_queries=former.NUM_OBJECT_QUERIES,
        use_auxiliary_loss=former.DEEP_SUPERVISION,
        no_object_weight=former.NO_OBJECT_WEIGHT,
        class_weight=former.CLASS_WEIGHT,
        mask_weight=former.MASK_WEIGHT,
        dice_weight=former.DICE_WEIGHT,
        train_num_points=former.TRAIN_NUM_POINTS,
        oversample_ratio=former.OVERSAMPLE_RATIO,
        importance_sample_ratio=former.IMPORTANCE_SAMPLE_RATIO,
    )


def load_weights(model: Mask2FormerForUniversalSegmentation, path: str | os.PathLike) -> None:
    """Load a checkpoint of ours into the model of transformers.

    Args:
        model: with our backbone.
        path: a checkpoint of a whole model (model_final.pth), which fills all parameters, or of a backbone alone, as after
            pre-training or `imrsf convert`, which leaves the head as it is. A pre-training's own decoders are left out.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it has nothing of such a model, or a tensor has another shape; the message names it.
    """
    converted: dict[str, Tensor] = {}
    for name, tensor in read_weights(path).items():
        converted.update(_to_transformers(name, tensor))
    if not converted:
        raise InputError(
            f"{path} holds no weights of a backbone or a Mask2Former, expected names such as backbone.norm.weight."
        )
    state = model.state_dict()
    whole = any(not name.startswith(_NAMES["backbone."]) for name in converted)
    expected = [name for name in state if whole or name.startswith(_NAMES["backbone."])]
    missing = [name for name in expected if name not in converted and not name.startswith("criterion.")]
    # A checkpoint after pre-training has nothing that makes maps: nothing trains it there.
    maps = tuple(f"{_NAMES['backbone.']}{name}." for name in MAP_MODULES)
    missing = [name for name in missing if whole or not name.startswith(maps)]
    unknown = [name for name in converted if name not in state]
    if missing or unknown:
        raise InputError(
            f"{path} does not fit the model: "
            + "; ".join(
                f"{what} {some_of(names, 3)}"
                for what, names in (("it lacks", missing), ("the model lacks", unknown))
                if names
            )
            + ". Build the model from the config of the checkpoint: mask2former_config(cfg)."
        )
    for name, tensor in converted.items():
        if tensor.shape != state[name].shape:
            raise InputError(
                f"{path}: {name} is {list(tensor.shape)}, expected {list(state[name].shape)} as in the model. "
                "Build the model from the config of the checkpoint: mask2former_config(cfg)."
            )
    model.load_state_dict(converted, strict=False)


def weights_of(model: Mask2FormerForUniversalSegmentation) -> dict[str, Tensor]:
    """The weights of transformers' model by the names of ours; `checkpoint.files.write_weights` writes them for MODEL.WEIGHTS.

    Args:
        model: with our backbone.
    """
    state = dict(model.state_dict())
    weights: dict[str, Tensor] = {}
    for name in list(state):
        found = re.fullmatch(r"(.+\.self_attn)\.q_proj\.(weight|bias)", name)
        if found:
            parts = [state.pop(f"{found[1]}.{projection}.{found[2]}") for projection in _PROJECTIONS]
            state[f"{found[1]}.in_proj_{found[2]}"] = torch.cat(parts)
    for theirs, tensor in state.items():
        weights[_renamed(theirs, {new: old for old, new in _NAMES.items()}) or theirs] = tensor
    return weights


def _to_transformers(name: str, tensor: Tensor) -> Mapping[str, Tensor]:
    """One parameter of ours as transformers has it; nothing if it is no part of a Mask2Former with our backbone."""
    theirs = _renamed(name, _NAMES)
    if theirs is None:
        return {}
    found = re.fullmatch(r"(.+\.self_attn)\.in_proj_(weight|bias)", theirs)
    if found is None:
        return {theirs: tensor}
    return {
        f"{found[1]}.{projection}.{found[2]}": part
        for projection, part in zip(_PROJECTIONS, tensor.chunk(len(_PROJECTIONS)), strict=True)
    }


def _renamed(name: str, names: Mapping[str, str]) -> str | None:
    """The name with its beginning replaced, None if no entry is its beginning. Of several, the longest counts."""
    for old in sorted(names, key=len, reverse=True):
        found = re.match(re.escape(old).replace(r"\{\}", r"(\d+)"), name)
        if found:
            return names[old].format(*found.groups()) + name[found.end() :]
    return None
