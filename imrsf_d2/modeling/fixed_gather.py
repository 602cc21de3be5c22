"""Bi-LSTM attention over all modalities at once, those that a position lacks passed over: the same graph for every image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imrsf_d2.modeling.bilstm_attention import BACKWARD, FORWARD, BiLSTMAttention
from imrsf_d2.modeling.linear import linear

__all__ = ["FixedGather"]

State = tuple[Tensor, Tensor]


class FixedGather(nn.Module):
    """Eqs. 2-3, unrolled over the M modalities and the fusion token: a modality that is not present leaves the state as it is.

    Args:
        gather: whose parameters are shared. They are held here one by one: compilers do not look into an `nn.LSTM`.
    """

    def __init__(self, gather: BiLSTMAttention):
        super().__init__()
        # Of each direction: input weight, recurrent weight, and a bias for both.
        forward, backward = gather.lstm.all_weights
        self.forward_weights, self.backward_weights = nn.ParameterList(forward), nn.ParameterList(backward)
        self.attn, self.score = gather.attn, gather.score

    def forward(self, streams: Tensor, fusion: Tensor, present: Tensor | None) -> Tensor:
        """Gather all positions of a batch.

        Args:
            streams: [B, M, N, D] modality tokens.
            fusion: [N, D] fusion tokens, the same for every image.
            present: [B, M, N] bool, True = this modality is there; None if all are. A position without any keeps its fusion token.

        Returns:
            The new fusion tokens [B, N, D].
        """
        tokens = streams.unbind(1)
        here = [None] * len(tokens) if present is None else present[..., None].unbind(1)
        none = torch.zeros_like(tokens[0][..., : fusion.shape[-1] // 2])
        state, before = (none, none), []
        for token, there in zip(tokens, here):
            state = self._step(FORWARD, token, state, there)
            before.append(state[0])
        last_forward, _ = self._step(FORWARD, fusion, state)
        state = self._step(BACKWARD, fusion, (none, none))
        last, after = torch.cat([last_forward, state[0]], dim=-1), []
        for token, there in zip(reversed(tokens), reversed(here)):
            state = self._step(BACKWARD, token, state, there)
            after.append(state[0])

        states = torch.cat([torch.stack(before, dim=1), torch.stack(after[::-1], dim=1)], dim=-1)  # [B, M, N, D]
        of_last, of_each = self.attn.weight.chunk(2, dim=1)  # W [h_t; h_i] = W_t h_t + W_i h_i
        hidden = torch.tanh(linear(last, of_last, self.attn.bias)[:, None] + linear(states, of_each))
        scores = self.score(hidden)
        if present is not None:
            # The lowest number, not -inf: where nothing is present, that would give NaN.
            scores = scores.masked_fill(~present[..., None], torch.finfo(scores.dtype).min)
        gathered = (scores.softmax(dim=1) * states).sum(dim=1)
        return gathered if present is None else torch.where(present.any(dim=1)[..., None], gathered, fusion)

    def _step(self, direction: int, token: Tensor, state: State, there: Tensor | None = None) -> State:
        """The state of one direction after one more token, where there is one: the LSTM's own equations."""
        weight, recurrent, of_input, of_hidden = self.forward_weights if direction == FORWARD else self.backward_weights
        hidden, cell = state
        gates = linear(token, weight, of_input + of_hidden) + linear(hidden, recurrent)
        take, forget, new, give = gates.chunk(4, dim=-1)
        next_cell = forget.sigmoid() * cell + take.sigmoid() * new.tanh()
        next_hidden = give.sigmoid() * next_cell.tanh()
        if there is None:
            return next_hidden, next_cell
        return torch.where(there, next_hidden, hidden), torch.where(there, next_cell, cell)
