"""The contrastive loss of pre-training (eq. 6, paper section III-E): each modality's view of a sample should agree with the fused one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.processes import gather_flags, gather_rows, of_whole_batch
from imrsf_d2.modeling.runs import FusionPart
from imrsf_d2.modeling.transfer import to_device

__all__ = ["Contrastive", "info_nce"]


class Contrastive(nn.Module):
    """InfoNCE between one vector per modality and one vector of the fusion tokens, gathered by masked cross-attention.

    A learned class token per modality attends to that modality's tokens, and one for the fusion attends to everything
    that its sample has, by the rule of eq. 4. A linear projection each maps them to the space where they are compared.

    Args:
        num_modalities: M.
        embed_dim: D; num_heads: of the cross-attention, a divisor of D.
        dim: width of the vectors that are compared.
        temperature: by which cosine similarities are divided.
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

    def forward(self, tokens: Tensor, fusion: Tensor, layout: TokenLayout) -> Tensor:
        """The loss of the whole batch, over all processes.

        Args:
            tokens: [T, D] visible modality tokens, fusion: [B, N, D] fusion tokens, after the encoder's final norm.

        Returns:
            A float32 scalar, for gradients that are averaged over processes.
        """
        vectors = gather_rows(self.vectors(tokens, fusion, layout))
        return of_whole_batch(info_nce(vectors, gather_flags(layout.has_tokens, vectors.device), self.temperature))

    def vectors(self, tokens: Tensor, fusion: Tensor, layout: TokenLayout) -> Tensor:
        """[B, M + 1, dim]: a vector of each modality, then of the fusion; meaningless where a modality has no token."""
        fusion = layout.pack_rows(fusion)
        query = self.query(self.class_tokens).unflatten(-1, (self.num_heads, -1)).transpose(0, 1)
        parts = []
        for part in layout.fusion_parts():
            keys = torch.cat([part.streams.take(tokens), fusion[part.rows]], dim=1)  # [G, V + N, D]
            key, value = self.key_value(keys).unflatten(-1, (2, self.num_heads, -1)).unbind(2)
            parts.append(
                F.scaled_dot_product_attention(
                    query.expand(len(keys), -1, -1, -1),
                    key.transpose(1, 2),
                    value.transpose(1, 2),
                    self._allowed(part, layout)[:, None],
                )
            )
        mixed = layout.unpack_rows(torch.cat(parts))
        gathered = self.norm(self.class_tokens + self.proj(mixed.transpose(1, 2).flatten(2)))
        return torch.stack([to(gathered[:, i]) for i, to in enumerate(self.to_comparison)], dim=1)

    def _allowed(self, part: FusionPart, layout: TokenLayout) -> Tensor:
        """[G, M + 1, V + N] bool: the keys of each class token. No row is empty: a class token without keys
        of its own sees everything, and its vector is left out of the loss."""
        num_classes = len(self.class_tokens)
        owner = part.streams.take(layout.modality)  # [G, V]
        own = owner[:, None] == torch.arange(num_classes, device=owner.device)[:, None]
        own[:, -1] = True
        if part.streams.usable is not None:
            own &= part.streams.usable[:, None]
        of_fusion = own.new_zeros(len(owner), num_classes, layout.num_patches)
        of_fusion[:, -1] = True
        allowed = torch.cat([own, of_fusion], dim=2)
        return allowed | ~allowed.any(dim=2, keepdim=True)


def info_nce(vectors: Tensor, has: Tensor, temperature: float) -> Tensor:
    """Eq. 6, from each modality to the fusion and back.

    For each pair (modality, fusion) of a sample, the modality's vector must identify its fusion vector among those of all
    samples, and the fusion vector must identify the modality's among those of all samples that have it. Pairs whose
    modality is absent are left out.

    Args:
        vectors: [B, M + 1, d], the fusion's vector last.
        has: [B, M] bool on the CPU, True = the sample has the modality.
        temperature: by which cosine similarities are divided.

    Returns:
        A float32 scalar: the sum over modalities of the mean over their pairs, with equal weight for both directions.
    """
    # In a 16-bit type, rounding errors divided by the temperature would be as large as the differences.
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = F.normalize(vectors.float(), dim=-1)
        fusion = vectors[:, -1]
        # Depends on every vector, so that there are gradients even if a batch has no pair at all.
        loss = 0.0 * vectors.sum()
        having = {m: of_modality.nonzero().squeeze(1) for m, of_modality in enumerate(has.unbind(1))}
        for m, pairs in to_device(having, vectors.device).items():
            if len(pairs):
                cosines = vectors[pairs, m] @ fusion.T / temperature  # [pairs, B]
                own = torch.arange(len(pairs), device=pairs.device)
                loss = loss + 0.5 * F.cross_entropy(cosines, pairs) + 0.5 * F.cross_entropy(cosines[:, pairs].T, own)
    return loss
