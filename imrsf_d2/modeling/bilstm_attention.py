"""Bi-LSTM attention: gathers the modalities of each patch position into its fusion token (eqs. 2-3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.linear import linear

__all__ = ["BiLSTMAttention"]


class BiLSTMAttention(nn.Module):
    """Replace each fusion token by an attention-weighted sum of Bi-LSTM states of the modalities present there.

    At a patch position the sequence is the present modality tokens in config order with the fusion token last,
    length t. h_i = [forward; backward]; beta = softmax over i < t of u^T tanh(W [h_t; h_i] + b); the new fusion token
    is sum_i beta_i h_i (eqs. 2-3). A position without any present modality keeps its fusion token.

    Args:
        embed_dim: D, even; each direction has D / 2 units.
    """

    def __init__(self, embed_dim: int):
        super().__init__()
        self.lstm = nn.LSTM(embed_dim, embed_dim // 2, bidirectional=True)
        self.attn = nn.Linear(2 * embed_dim, embed_dim)
        self.score = nn.Linear(embed_dim, 1, bias=False)
        nn.init.xavier_uniform_(self.attn.weight)
        nn.init.zeros_(self.attn.bias)
        nn.init.xavier_uniform_(self.score.weight)

    def gather(self, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Eqs. 2-3 for positions that all have the same number of modalities.

        Args:
            sequence: [t, R, D], fusion token last.

        Returns:
            The new fusion tokens [R, D] and beta [t - 1, R].
        """
        hidden, _ = self.lstm(sequence)
        dim = hidden.shape[-1]
        # W [h_t; h_i] splits into W_f h_t + W_m h_i: the fusion half is computed once, not once per modality.
        weight_fusion, weight_modality = self.attn.weight.split(dim, dim=1)
        fusion_part = linear(hidden[-1], weight_fusion, self.attn.bias)
        modality_part = linear(hidden[:-1].flatten(0, 1), weight_modality).view(hidden[:-1].shape)
        beta = self.score(torch.tanh(fusion_part + modality_part)).softmax(dim=0)
        return (beta * hidden[:-1]).sum(dim=0), beta.squeeze(-1)

    def forward(self, streams: Tensor, fusion: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor]:
        """Gather all positions of a batch.

        Args:
            streams: [P, N, D] packed modality tokens.
            fusion: [R, N, D] fusion tokens in packed order.

        Returns:
            The new fusion tokens [R, N, D], and beta [R, M, N] (0 where absent, no gradient), in packed order.
        """
        importance = fusion.new_zeros(layout.num_fusion, layout.num_modalities, layout.num_patches)
        gathered = []
        for group, samples, pairs in layout.spans():
            tokens = fusion[samples]
            if group.subset:
                size, patches, dim = tokens.shape
                by_modality = streams[pairs].view(size, len(group.subset), patches, dim).transpose(0, 1)
                sequence = torch.cat([by_modality, tokens[None]]).flatten(1, 2)
                if group.partial:
                    usable = layout.group_mask(group).transpose(0, 1).flatten(1)
                    tokens, beta = self._gather_by_pattern(sequence, usable)
                else:
                    tokens, beta = self.gather(sequence)
                tokens = tokens.view(size, patches, dim)
                beta = beta.detach().view(-1, size, patches).transpose(0, 1)
                importance[samples, list(group.subset)] = beta.to(importance.dtype)
            # The LSTM may compute in a narrower type under autocast; the token tensor keeps its own.
            gathered.append(tokens.to(fusion.dtype))
        return torch.cat(gathered), importance

    def _gather_by_pattern(self, sequence: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Eqs. 2-3 where positions differ in what they have: one call per distinct pattern, on its positions only.

        Args:
            sequence: [k + 1, R, D]; usable: [k, R] bool.

        Returns:
            New fusion tokens [R, D] and beta [k, R], 0 where unusable.
        """
        steps = usable.shape[0]
        code = (usable.long() << torch.arange(steps, device=usable.device)[:, None]).sum(dim=0)
        fusion = sequence[-1]
        beta = sequence.new_zeros(steps, sequence.shape[1])
        for pattern in code.unique().tolist():
            if pattern == 0:
                continue
            at = (code == pattern).nonzero().squeeze(1)
            chosen = torch.tensor([i for i in range(steps) if pattern >> i & 1], device=at.device)
            rows = torch.cat([chosen, chosen.new_tensor([steps])])
            tokens, weights = self.gather(sequence[rows[:, None], at])
            fusion = fusion.index_copy(0, at, tokens.to(fusion.dtype))
            beta[chosen[:, None], at] = weights.detach().to(beta.dtype)
        return fusion, beta
