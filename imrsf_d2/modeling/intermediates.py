"""The encoder by the conventions of timm's vision transformers: what its blocks return, by the names and arguments there.

Decoders and tools that know timm's models find what they look for; timm itself is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from imrsf_d2.modeling.encoder import IncompleteMultimodalEncoder
from imrsf_d2.modeling.sensor_batch import Validity, assemble_sensors
from imrsf_d2.utils.errors import InputError

__all__ = ["FeatureInfo", "IntermediateFeatures"]

#: The values of timm's `output_fmt`: [B, D, Hp, Wp], or [B, N, D].
_FORMATS = ("NCHW", "NLC")


class FeatureInfo(list[dict[str, Any]]):
    """The features that a model offers, in order, as in timm: a list of dictionaries, and a summary of those that it is for.

    Args:
        features: each with `num_chs` (channels), `reduction` (stride, px) and `module` (name of the submodule).
        out_indices: the positions of those that are used.
    """

    def __init__(self, features: Iterable[dict[str, Any]], out_indices: Sequence[int]):
        super().__init__({**feature, "index": index} for index, feature in enumerate(features))
        self.out_indices = tuple(out_indices)

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        """The value of a key: a list, of the features used or of those at the positions `idx`; of one position, the value."""
        if isinstance(idx, int):
            return self[idx][key]
        return [self[index][key] for index in (self.out_indices if idx is None else idx)]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        """The channels of the features used, or see `get`."""
        return self.get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        """The strides of the features used in pixels, or see `get`."""
        return self.get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        """The submodules that the features used come from, or see `get`."""
        return self.get("module", idx)


class IntermediateFeatures(IncompleteMultimodalEncoder):
    """The encoder with the methods that timm's vision transformers have. Their tokens are the fusion tokens.

    A batch is a tensor as in `encode`, or a mapping of sensors as in `assemble`.
    """

    @property
    def num_features(self) -> int:
        """D."""
        return self.embed_dim

    @property
    def feature_info(self) -> FeatureInfo:
        """One entry for each block, which `forward_intermediates` counts."""
        blocks = [
            {"num_chs": self.embed_dim, "reduction": self.patch_size, "module": f"blocks.{i}"}
            for i in range(len(self.blocks))
        ]
        return FeatureInfo(blocks, range(len(blocks)))

    def assemble(self, image: Tensor | Mapping[str, Tensor | None], valid: Validity | None = None) -> Tensor:
        """The batch as one normalized tensor; one that is a tensor already stays as it is.

        Args:
            image: normalized tensor as in `encode`, or the sensors by name, not normalized; see `assemble_sensors`.
            valid: of sensors by name, which of them hold data besides what their values say; see `assemble_sensors`.

        Raises:
            ValueError: if the sensors do not go together, or are on another device than the model.
        """
        if isinstance(image, Tensor):
            if valid is not None:
                raise InputError(
                    "valid goes with a mapping of sensors, but the batch is a tensor: there, validity channels follow the bands, "
                    "or NaN stands where data are missing."
                )
            return image
        if not isinstance(image, Mapping):
            raise InputError(
                f"the batch is {type(image).__name__}, expected a tensor, or a mapping from some of {list(self.modalities.names)} to "
                "tensors [B, C, H, W]."
            )
        assembled = assemble_sensors(image, self.modalities, valid)
        own = self.fusion_tokens
        if assembled.device != own.device:
            raise InputError(f"the sensors are on {assembled.device}, expected {own.device} like the model.")
        return assembled.to(own.dtype)

    def forward_features(self, x: Tensor | Mapping[str, Tensor | None], valid: Validity | None = None) -> Tensor:
        """The normalized tokens after the last block.

        Args:
            x, valid: see `assemble`.

        Returns:
            [B, N, D].
        """
        return self.norm(self.encode(self.assemble(x, valid), importance=not self.training).fusion)

    def forward_intermediates(
        self,
        x: Tensor | Mapping[str, Tensor | None],
        indices: int | Sequence[int] | None = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
        output_dict: bool = False,
        valid: Validity | None = None,
    ) -> Any:
        """The tokens after some blocks, with timm's arguments and results.

        Args:
            x, valid: see `assemble`.
            indices: of the blocks; those below 0 count from the last. A number stands for so many last ones, None for all.
            return_prefix_tokens: has no effect: there are none.
            norm: normalize those tokens as those after the last block.
            stop_early: leave out the blocks after the last one asked for.
            output_fmt: "NCHW" for [B, D, Hp, Wp], "NLC" for [B, N, D].
            intermediates_only: do not return the final tokens.
            output_dict: return a dictionary.

        Returns:
            A list, one entry per block in the order of `feature_info`; unless `intermediates_only`, the normalized tokens
            [B, N, D] after the last block that was computed, and the list. With `output_dict`, a dictionary with
            `image_intermediates` and `image_features`.

        Raises:
            ValueError: if an index or the format is unknown.
        """
        if output_fmt not in _FORMATS:
            raise InputError(f"output_fmt is {output_fmt!r}, expected one of {_FORMATS}.")
        taken = sorted(set(self._block_indices(indices)))
        depth = taken[-1] + 1 if stop_early else None
        output = self.encode(self.assemble(x, valid), layers=taken, depth=depth, importance=not self.training)
        maps = [self.norm(tokens) if norm else tokens for tokens in output.layers]
        if output_fmt == "NCHW":
            maps = [tokens.transpose(1, 2).unflatten(2, output.grid).contiguous() for tokens in maps]
        features = None if intermediates_only else self.norm(output.fusion)
        if output_dict:
            return {"image_intermediates": maps} | ({} if features is None else {"image_features": features})
        return maps if features is None else (features, maps)

    def get_intermediate_layers(
        self,
        x: Tensor | Mapping[str, Tensor | None],
        n: int | Sequence[int] = 1,
        reshape: bool = False,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        valid: Validity | None = None,
    ) -> list[Tensor]:
        """The tokens after some blocks, by the older name and arguments that timm has from DINO.

        Args:
            x, valid: see `assemble`.
            n: as `indices` of `forward_intermediates`.
            reshape: [B, D, Hp, Wp] instead of [B, N, D].
            return_prefix_tokens, norm: see `forward_intermediates`.
        """
        fmt = "NCHW" if reshape else "NLC"
        return self.forward_intermediates(
            x, n, return_prefix_tokens, norm, output_fmt=fmt, intermediates_only=True, valid=valid
        )

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that are inputs rather than weights: learned tokens and tables of classes."""
        tables = {f"patch_embed.{m.name}.class_embed.weight" for m in self.modalities if m.categorical}
        return {"fusion_tokens"} | tables

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only each block's input for the backward pass; see `checkpoint_blocks`."""
        self.checkpoint_blocks = enable

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Tools call it with 0 to remove the classifier. There is none, so that is all it can be called with.

        Raises:
            ValueError: if a classifier is asked for.
        """
        if num_classes:
            raise InputError(
                f"num_classes is {num_classes}, expected 0: the backbone has no classifier. Put a layer on the mean of `forward_features`."
            )

    def _block_indices(self, indices: int | Sequence[int] | None) -> list[int]:
        """Positions from the first block, of timm's forms of saying them."""
        depth = len(self.blocks)
        if indices is None or isinstance(indices, int):
            last = depth if indices is None else indices
            if not 0 < last <= depth:
                raise InputError(f"{last} last blocks are asked for, expected 1 to {depth}.")
            return list(range(depth - last, depth))
        if not len(indices) or not all(-depth <= index < depth for index in indices):
            raise InputError(f"indices is {list(indices)}, expected some blocks in {-depth}..{depth - 1}.")
        return [index % depth for index in indices]
