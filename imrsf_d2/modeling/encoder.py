"""The incomplete multimodal ViT encoder: tokens, fusion tokens that gather them, masked blocks, read-out (paper section III)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling.bilstm_attention import BiLSTMAttention
from imrsf_d2.modeling.block import Block
from imrsf_d2.modeling.encoder_data import EncoderOutput, Patches, VisibleOutput
from imrsf_d2.modeling.gather import GATHERS, WEIGHING, check_weighing, gather, modality_means
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.tokens import (
    PatchEmbed,
    keep_modalities,
    patch_presence,
    sincos_position_embedding,
    split_image,
    take_patches,
)
from imrsf_d2.modeling.transfer import to_device
from imrsf_d2.modeling.unused import zero_of
from imrsf_d2.utils.errors import InputError

__all__ = ["READOUTS", "IncompleteMultimodalEncoder"]

#: The values of MODEL.IMRSF.READOUT.
READOUTS = ("fusion", "modalities")

#: Side of the learned grid of fusion tokens, in patches; other grids are resized from it.
FUSION_GRID = 16


class IncompleteMultimodalEncoder(nn.Module):
    """A ViT over the modalities that are present, with one fusion token per patch position.

    Args:
        modalities: what the image tensor holds, in order; see `ModalitySet`.
        patch_size: side of a patch in pixels, a power of two.
        embed_dim: D, a multiple of 4 and of `num_heads`.
        depth, num_heads, mlp_ratio: as in any ViT.
        drop_path: stochastic depth of the last block; the others grow linearly from 0.
        gather: how the fusion tokens gather the modalities first, of `GATHERS`; "bilstm" is the paper's (eqs. 2-3).
        masked_attention: eq. 4; False for full attention.
        masked_blocks: the first blocks, which alone use eq. 4, the others full attention; None for all.
        readout: what the features are made of. "fusion": the fusion tokens. "modalities": the mean of the present modalities'
            own tokens, and there are no fusion tokens among those that attend (the learned ones stand where no modality is
            present); `gather` must be "none" then.
        min_valid: smallest share of valid pixels of a present patch.
        absent: "skip" computes no token of an absent modality; "zeros" feeds it as a mean-valued image.
        checkpoint_blocks: keep only each block's input for the backward pass and recompute the rest.

    Attributes:
        views: what a batch is in training: 1, or so many views of the same images, view after view, that differ in the modalities
            left out. The first must have all that the others have; a modality's stream is then computed once for all of them.

    Raises:
        ValueError: if an argument is out of range; the message names it.
    """

    def __init__(
        self,
        *,
        modalities: Iterable[Modality | Mapping],
        patch_size: int = 16,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        gather: str = "bilstm",
        masked_attention: bool = True,
        masked_blocks: int | None = None,
        readout: str = "fusion",
        min_valid: float = 0.5,
        absent: str = "skip",
        checkpoint_blocks: bool = False,
    ):
        super().__init__()
        if num_heads < 1:
            raise InputError(f"num_heads is {num_heads}, expected 1 or more.")
        if embed_dim % num_heads or embed_dim % 4:
            raise InputError(f"embed_dim is {embed_dim}, expected a multiple of 4 and of num_heads = {num_heads}.")
        if patch_size < 1 or patch_size & (patch_size - 1):
            raise InputError(f"patch_size is {patch_size}, expected a power of two.")
        if absent not in ("skip", "zeros"):
            raise InputError(f"absent is {absent!r}, expected 'skip' or 'zeros'.")
        if gather not in GATHERS:
            raise InputError(f"gather is {gather!r}, expected one of {GATHERS}.")
        if readout not in READOUTS:
            raise InputError(f"readout is {readout!r}, expected one of {READOUTS}.")
        if readout == "modalities" and gather != "none":
            raise InputError(f"gather is {gather!r}, expected 'none' with readout 'modalities': there are no fusion tokens.")
        if masked_blocks is not None and not (masked_attention and 0 <= masked_blocks <= depth):
            raise InputError(
                f"masked_blocks is {masked_blocks} and masked_attention {masked_attention}, expected 0 to depth = {depth} blocks "
                "with masked attention, or None."
            )
        self.modalities = ModalitySet(modalities)
        for modality in self.modalities:
            if hasattr(nn.ModuleDict(), modality.name):
                raise InputError(
                    f"modality {modality.name!r}: NAME is an attribute of the torch.nn.ModuleDict that holds "
                    f"the patch embeddings, expected another, e.g. '{modality.name}_'."
                )
        self.patch_size = patch_size
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.min_valid = min_valid
        self.absent = absent
        self.checkpoint_blocks = checkpoint_blocks
        self.gather = gather
        self.readout = readout
        self.views = 1
        self.patch_embed = nn.ModuleDict({m.name: PatchEmbed(m, patch_size, embed_dim) for m in self.modalities})
        self.fusion_tokens = nn.Parameter(torch.empty(1, embed_dim, FUSION_GRID, FUSION_GRID))
        nn.init.trunc_normal_(self.fusion_tokens, std=0.02)
        self.bilstm = BiLSTMAttention(embed_dim) if gather in WEIGHING else None
        self.masked_blocks = 0 if not masked_attention else depth if masked_blocks is None else masked_blocks
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_ratio, i < self.masked_blocks, drop_path * i / max(depth - 1, 1))
            for i in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.blocks.apply(_init_linear)

    def encode(
        self,
        image: Tensor,
        streams: bool = False,
        layers: Sequence[int] = (),
        depth: int | None = None,
        importance: bool = True,
    ) -> EncoderOutput:
        """Encode a batch in which any sample may lack any modality, entirely or in part.

        Args:
            image: normalized [B, C + M, H, W] with validity channels, or [B, C, H, W] with NaN where missing.
            streams: also return each modality's own stream.
            layers: indices of the blocks after which the fusion tokens (or what is read out instead) are returned as well.
            depth: how many blocks are run; default: all.
            importance: also return the weights of the modalities.

        Raises:
            ValueError: if the channels fit neither layout, or H, W are not divisible by the patch size.
        """
        patches = self.read(image)
        present = patches.present
        layout = TokenLayout(
            present if self.absent == "skip" else torch.ones_like(present),
            self._images(len(present)),
            self.readout == "fusion",
            grid=patches.grid,
        )
        return self._run(patches, layout, streams, layers, depth, importance)

    def encode_subsets(
        self, image: Tensor, subsets: Iterable[Sequence[str]], layers: Sequence[int] = ()
    ) -> list[EncoderOutput]:
        """Encode a batch with each of several subsets of its modalities, as a sweep over subsets does.

        Each result is that of `encode` for the image whose other modalities are invalid. A modality's stream does not
        depend on the other modalities, however, so it is computed once, and only the fusion tokens are computed for each
        subset. Over all subsets of M = 3 (4) modalities, that is 10 (19) streams and fusions instead of 19 (47).
        Where there is nothing to share (`shares_streams`), the subsets are encoded one by one.

        Args:
            image: as in `encode`.
            subsets: names of modalities; an empty subset leaves none.
            layers: as in `encode`.

        Returns:
            One output per subset, in order, without streams.

        Raises:
            ValueError: as in `encode`, or if a subset names an unknown modality or one twice.
        """
        kept = [self.modalities.check_subset(subset, "subsets") if subset else () for subset in map(tuple, subsets)]
        if not kept:
            return []
        if not self.shares_streams:
            return [self.encode(keep_modalities(image, self.modalities, subset), layers=layers) for subset in kept]
        patches = self.read(image)
        present, batch_size = patches.present, len(patches.present)
        keeps = torch.tensor([[name in subset for name in self.modalities.names] for subset in kept])
        keeps = to_device({"keeps": keeps}, present.device)["keeps"]
        rows = (present & keeps[:, None, :, None]).flatten(0, 1)
        layout = TokenLayout(
            rows, images=list(range(batch_size)) * len(kept), fusion=self.readout == "fusion", grid=patches.grid
        )
        output = self._run(patches, layout, False, layers)
        assert output.importance is not None
        parts = zip(*(values.split(batch_size) for values in (output.fusion, output.present, output.importance)))
        layer_parts = [values.split(batch_size) for values in output.layers]
        return [
            EncoderOutput(
                fusion, {}, present, importance, [layer[i] for layer in layer_parts], patches.grid, patches, output.images
            )
            for i, (fusion, present, importance) in enumerate(parts)
        ]

    def encode_visible(self, patches: Patches, visible: Tensor, streams: bool = False) -> VisibleOutput:
        """Encode only the visible patches of a batch, as pre-training does; nothing is computed for the hidden ones.

        Every position has a fusion token. The result is that of `encode` for the image whose hidden patches are invalid.

        Args:
            patches: from `read`.
            visible: [B, M, N] bool on the CPU, True = the encoder sees this patch; it must be present.
            streams: also return the modality tokens.

        Raises:
            ValueError: if `visible` is not a CPU tensor of that shape and type, if the encoder was built with absent="zeros",
                so that no patch can be hidden from it, or without fusion tokens.
        """
        if visible.shape != patches.present.shape or visible.dtype != torch.bool or visible.device.type != "cpu":
            raise InputError(
                f"visible is {visible.dtype} {list(visible.shape)} on {visible.device}, expected torch.bool "
                f"{list(patches.present.shape)} on the CPU."
            )
        if self.absent != "skip":
            raise InputError(
                f"absent is {self.absent!r}, expected 'skip': otherwise no patch can be hidden from the encoder."
            )
        if self.readout != "fusion":
            raise InputError(
                f"readout is {self.readout!r}, expected 'fusion': hidden patches are reconstructed from fusion tokens."
            )
        layout = TokenLayout(visible, device=patches.bands.device, grid=patches.grid)
        tokens, learned, _ = self._enter(patches, layout, importance=False)
        for i, block in enumerate(self.blocks):
            tokens = self._pass(block, tokens, layout, fusion_only=not streams and i == len(self.blocks) - 1)
        fusion = layout.unpack_rows(self._read_out(tokens, learned, layout))
        return VisibleOutput(fusion, tokens[: layout.num_tokens] if streams else None, layout)

    def check_weighing(self) -> None:
        """Check that the fusion tokens weigh the modalities against each other; see `imrsf_d2.modeling.gather.check_weighing`.

        Raises:
            InputError: if they do not.
        """
        check_weighing(self.gather)

    @property
    def shares_streams(self) -> bool:
        """Whether a modality's stream is the same in every subset that has it.

        False if streams depend on each other (full attention in any block) or no modality is ever left out
        (`absent="zeros"`).
        """
        return self.absent == "skip" and self.masked_blocks >= len(self.blocks)

    def _images(self, num_rows: int) -> list[int] | None:
        """The image of each row of a batch; None if each row is one."""
        if self.views == 1 or not (self.training and self.shares_streams):
            return None
        if num_rows % self.views:
            raise InputError(f"the batch has {num_rows} rows, expected a multiple of its {self.views} views.")
        return list(range(num_rows // self.views)) * self.views

    def read(self, image: Tensor) -> Patches:
        """Separate the bands of a batch from their validity, and determine which patches can be used.

        Args:
            image: as in `encode`.

        Raises:
            ValueError: as in `encode`.
        """
        if not image.numel():
            raise InputError(f"image is {list(image.shape)}, expected at least one sample and one pixel.")
        if image.shape[-2] % self.patch_size or image.shape[-1] % self.patch_size:
            raise InputError(
                f"image is {image.shape[-2]} x {image.shape[-1]} px, expected multiples of the patch size "
                f"{self.patch_size}; pad with invalid pixels (Detectron2 does, see size_divisibility)."
            )
        grid = (image.shape[-2] // self.patch_size, image.shape[-1] // self.patch_size)
        bands, valid = split_image(image, self.modalities)
        return Patches(bands, valid, patch_presence(valid, self.patch_size, self.min_valid), grid)

    def _run(
        self,
        patches: Patches,
        layout: TokenLayout,
        streams: bool,
        layers: Sequence[int],
        depth: int | None = None,
        importance: bool = True,
    ) -> EncoderOutput:
        """Embed the tokens of a layout, gather them, run the blocks, and read out."""
        tokens, learned, weights = self._enter(patches, layout, importance)
        collected: dict[int, Tensor] = {}
        last = (len(self.blocks) if depth is None else depth) - 1
        for i in range(last + 1):
            if len(tokens):
                only = bool(layout.fusion_length) and i == last and not streams
                tokens = self._pass(self.blocks[i], tokens, layout, fusion_only=only)
            if i in layers or i == last:
                collected[i] = layout.unpack_rows(self._read_out(tokens, learned, layout))
        named_streams = {}
        if streams:
            own = tokens[: layout.num_tokens]
            named_streams = {name: layout.unpack_streams(own, m) for m, name in enumerate(self.modalities.names)}
        return EncoderOutput(
            collected[last],
            named_streams,
            layout.present,
            None if weights is None else layout.unpack_rows(weights),
            [collected[i] for i in layers],
            patches.grid,
            patches,
            layout.images_by_modality(),
        )

    def _enter(self, patches: Patches, layout: TokenLayout, importance: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """The packed tokens that enter the first block, the learned fusion tokens [N, D], and the weights of `gather`."""
        tokens = self._embed(patches, layout)
        learned = self._fusion_tokens(patches.grid)
        learned = learned + self._touch_unused(layout.used, learned)
        fusion, weights = gather(
            self.gather, self.bilstm, tokens, learned, self._positions(patches.grid), layout, importance
        )
        if layout.fusion_length:
            tokens = torch.cat([tokens, fusion.flatten(0, 1)])
        return tokens, learned, weights

    def _read_out(self, tokens: Tensor, learned: Tensor, layout: TokenLayout) -> Tensor:
        """[R, N, D] in packed order, of what a block returned; see `readout`."""
        if layout.fusion_length:
            # A copy: the view would keep the streams of this layer alive as long as its fusion tokens.
            return tokens[-layout.num_fusion * layout.num_patches :].unflatten(0, (layout.num_fusion, -1)).clone()
        means, weights = modality_means(tokens, learned, layout)
        # Not means alone: the learned tokens get a gradient, of zero, where none of them is needed.
        return torch.where(weights.any(dim=1)[..., None], means, learned)

    def _pass(self, block: nn.Module, tokens: Tensor, layout: TokenLayout, fusion_only: bool) -> Tensor:
        if self.checkpoint_blocks and torch.is_grad_enabled():
            return checkpoint(block, tokens, layout, fusion_only, use_reentrant=False)
        return block(tokens, layout, fusion_only)

    def _embed(self, patches: Patches, layout: TokenLayout) -> Tensor:
        """[T, D] tokens with positions; pixels of patches without a token are not read, unless the modality lacks none."""
        whole, short = [], []
        for m, name in enumerate(self.modalities.names):
            bands, valid = patches.bands[:, self.modalities.bands(name)], patches.valid[:, m]
            images = layout.whole_images(m)
            if images is not None:
                whole.append(self.patch_embed[name](bands[images], valid[images]))
            at = layout.short_patches(m)
            if len(at[0]):
                of_patches = take_patches(valid[:, None], *at, self.patch_size)[:, 0]
                short.append(self.patch_embed[name](take_patches(bands, *at, self.patch_size), of_patches)[:, 0])
        # Positions keep the parameters' type: under autocast the residual stream is float32 from here on.
        return layout.pack(whole, short, self._positions(patches.grid))

    def _fusion_tokens(self, grid: tuple[int, int]) -> Tensor:
        """[N, D]: the learned grid, resized bicubically to the actual one, with positions; the same for every image."""
        learned: Tensor = self.fusion_tokens
        if grid != learned.shape[-2:]:
            learned = F.interpolate(learned, size=grid, mode="bicubic", align_corners=False)
        return learned[0].flatten(1).T + self._positions(grid)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        return sincos_position_embedding(*grid, self.embed_dim, self.fusion_tokens.device, self.fusion_tokens.dtype)

    def _touch_unused(self, used: Collection[int], like: Tensor) -> Tensor:
        """A zero that depends on every parameter this batch does not use; see `zero_of`.

        Args:
            used: the modalities of the batch.
        """
        unused = [
            p for m, name in enumerate(self.modalities.names) if m not in used for p in self.patch_embed[name].parameters()
        ]
        if not used and self.bilstm is not None:
            unused += self.bilstm.parameters()
        if not used and self.readout == "modalities":  # no token at all passes the blocks
            unused += self.blocks.parameters()
        return zero_of(unused, like)


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
