"""Floating-point operations of the encoder's matrix products, counted from shapes (a multiply-add is two)."""

from __future__ import annotations

from imrsf_d2.modeling.encoder import IncompleteMultimodalEncoder
from imrsf_d2.modeling.layout import TokenLayout

__all__ = ["bilstm_flops", "block_flops", "dense_block_flops", "encoder_flops"]


def block_flops(dim: int, mlp_dim: int, layout: TokenLayout, fusion_only: bool = False) -> int:
    """One block of the structured encoder.

    Args:
        dim: D; mlp_dim: width of the MLP.
        layout: which tokens there are.
        fusion_only: the last block, where streams are keys and values only.
    """
    patches = layout.num_patches
    linear = 8 * dim * dim + 4 * dim * mlp_dim  # q, k, v, projection; the two layers of the MLP
    streams = 4 * dim * dim if fusion_only else linear
    seen = sum((len(group.subset) + 1) * len(group.index) for group in layout.groups)  # by all fusion rows together
    pairs = (seen + (0 if fusion_only else layout.num_pairs)) * patches * patches
    return patches * (streams * layout.num_pairs + linear * layout.num_fusion) + 4 * dim * pairs


def dense_block_flops(dim: int, mlp_dim: int, batch_size: int, num_tokens: int) -> int:
    """One block of a plain ViT over [B, T, D] tokens, masked or not."""
    return batch_size * num_tokens * (8 * dim * dim + 4 * dim * mlp_dim + 4 * dim * num_tokens)


def bilstm_flops(dim: int, layout: TokenLayout) -> int:
    """Bi-LSTM attention: an LSTM of D / 2 units in both directions, and beta from two D x D products and a score."""
    total = 0
    for group in layout.groups:
        if not group.subset:
            continue
        present = layout.group_mask(group).sum(dim=1)
        tokens, positions = int(present.sum()), int((present > 0).sum())
        total += (tokens + positions) * 12 * dim * dim  # 2 directions x 4 gates x D/2 units x (D inputs + D/2 states)
        total += positions * 2 * dim * dim + tokens * (2 * dim * dim + 2 * dim)
    return total


def encoder_flops(encoder: IncompleteMultimodalEncoder, layout: TokenLayout) -> int:
    """The whole forward pass of a batch, without the feature maps.

    Args:
        encoder: with measurements as modalities (the embedding of a categorical one is a look-up before this product).
        layout: of the batch.
    """
    dim, depth = encoder.embed_dim, len(encoder.blocks)
    mlp_dim = encoder.blocks[0].mlp.fc1.out_features
    total = (depth - 1) * block_flops(dim, mlp_dim, layout) + block_flops(dim, mlp_dim, layout, fusion_only=True)
    if encoder.bilstm is not None:
        total += bilstm_flops(dim, layout)
    for m in layout.pair_modality:
        weight = encoder.patch_embed[encoder.modalities.names[m]].proj.weight
        total += 2 * weight.numel() * layout.num_patches
    return total
