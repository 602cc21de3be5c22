"""The contrastive loss of pre-training (eq. 6): each modality's view of a sample should agree with the fused one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modeling.processes import gather_rows, of_whole_batch
from imrsf_d2.modeling.visible_layout import VisibleLayout

__all__ = ["Contrastive", "info_nce"]


class Contrastive(nn.Module):
    """One vector of each modality and one of the fusion tokens, by masked cross-attention, and their InfoNCE.

    A learned class token per modality attends to its modality's tokens, the one of the fusion to everything that its
    sample has, by the rule of eq. 4; a linear map each leads to the space of comparison.

    Args:
        num_modalities: M.
        embed_dim: D; num_heads: of the cross-attention, a divisor of D.
        dim: width in which vectors are compared.
        temperature: cosines are divided by it.
    """

    def __init__(self, num_modalities: int, embed_dim: int, num_heads: int, dim: int, temperature: float):
        super().__init__()
        self.num_heads = num_heads
        self.temperature = temperature
        self.class_tokens = nn.Parameter(torch.empty(num_modalities + 1, embed_dim))
        nn.init.trunc_normal_(self.class_tokens, std=0.02)
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key_value = nn.Linear(embed_dim, 2 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.to_comparison = nn.ModuleList(nn.Linear(embed_dim, dim) for _ in range(num_modalities + 1))

    def forward(self, tokens: Tensor, fusion: Tensor, layout: VisibleLayout) -> Tensor:
        """The loss of the whole batch, all processes together.

        Args:
            tokens: [T, D] visible modality tokens, fusion: [B, N, D] fusion tokens, after the encoder's final norm.

        Returns:
            A float32 scalar, for gradients that are averaged over processes.
        """
        vectors = gather_rows(self.vectors(tokens, fusion, layout))
        return of_whole_batch(info_nce(vectors, gather_rows(layout.has_tokens), self.temperature))

    def vectors(self, tokens: Tensor, fusion: Tensor, layout: VisibleLayout) -> Tensor:
        """[B, M + 1, dim]: a vector of each modality, and of the fusion last; of no meaning where there is no token."""
        keys = torch.cat([tokens[layout.samples.index], fusion], dim=1)  # [B, V + N, D]
        key, value = self.key_value(keys).unflatten(-1, (2, self.num_heads, -1)).unbind(2)
        query = self.query(self.class_tokens).unflatten(-1, (self.num_heads, -1)).expand(len(fusion), -1, -1, -1)
        mixed = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), self._allowed(layout)[:, None]
        )
        gathered = self.norm(self.class_tokens + self.proj(mixed.transpose(1, 2).flatten(2)))
        return torch.stack([to(gathered[:, i]) for i, to in enumerate(self.to_comparison)], dim=1)

    def _allowed(self, layout: VisibleLayout) -> Tensor:
        """[B, M + 1, V + N] bool: the keys of each class token. No row is empty: without a token of its own, one may
        see everything, and its vector is left out of the loss."""
        samples = layout.samples
        num_classes = len(self.class_tokens)
        owner = layout.modality[samples.index]  # [B, V]
        own = owner[:, None] == torch.arange(num_classes, device=owner.device)[:, None]
        own[:, -1] = True
        if samples.usable is not None:
            own &= samples.usable[:, None]
        of_fusion = own.new_zeros(layout.num_images, num_classes, layout.num_patches)
        of_fusion[:, -1] = True
        allowed = torch.cat([own, of_fusion], dim=2)
        return allowed | ~allowed.any(dim=2, keepdim=True)


def info_nce(vectors: Tensor, has: Tensor, temperature: float) -> Tensor:
    """Eq. 6, from each modality to the fusion and back.

    Of every pair (modality, fusion) of one sample, the modality's vector must find its fusion vector among those of all
    samples, and the fusion vector its modality's among those of all samples that have it. A pair whose modality is
    absent is left out.

    Args:
        vectors: [B, M + 1, d], the fusion's last.
        has: [B, M] bool, True = the sample has the modality.
        temperature: cosines are divided by it.

    Returns:
        A float32 scalar: the sum over modalities of the mean over their pairs, both directions weighing the same.
    """
    # Divided by the temperature, the rounding of a narrow type would be of the size of the differences.
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = F.normalize(vectors.float(), dim=-1)
        fusion = vectors[:, -1]
        # Connected to every vector, so that a batch without a single pair has gradients too.
        loss = 0.0 * vectors.sum()
        for m in range(has.shape[1]):
            pairs = has[:, m].nonzero().squeeze(1)
            if len(pairs):
                cosines = vectors[pairs, m] @ fusion.T / temperature  # [pairs, B]
                own = torch.arange(len(pairs), device=pairs.device)
                loss = loss + 0.5 * F.cross_entropy(cosines, pairs) + 0.5 * F.cross_entropy(cosines[:, pairs].T, own)
    return loss
