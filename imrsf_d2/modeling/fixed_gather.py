"""What fusion tokens start from, computed from all modalities at once, those that a position lacks passed over: the same graph for
every image. The ways are those of `gather.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imrsf_d2.modeling.bilstm_attention import BACKWARD, FORWARD, BiLSTMAttention
from imrsf_d2.modeling.linear import linear

__all__ = ["FixedGather", "mean_of_present"]

State = tuple[Tensor, Tensor]


class FixedGather(nn.Module):
    """The fusion tokens that enter the first block; see `gather`.

    Args:
        how: of `GATHERS`.
        bilstm: the module of the ways in `WEIGHING`, whose parameters are shared; None for the others.
    """

    def __init__(self, how: str, bilstm: BiLSTMAttention | None):
        super().__init__()
        self.how = how
        self.attention = None if bilstm is None else FixedBiLSTMAttention(bilstm)

    def forward(self, streams: Tensor, fusion: Tensor, positions: Tensor, present: Tensor | None) -> Tensor:
        """Gather all positions of a batch.

        Args:
            streams: [B, M, N, D] modality tokens with positions.
            fusion: [N, D] fusion tokens with positions, the same for every image.
            positions: [N, D].
            present: [B, M, N] bool, True = this modality is there; None if all are. A position without any keeps its fusion token.

        Returns:
            The new fusion tokens [B, N, D].
        """
        if self.how == "none":
            return fusion.expand(len(streams), -1, -1)
        if self.how == "bilstm":
            assert self.attention is not None
            return self.attention(streams, fusion, present)
        content = mean_of_present(streams, present) - positions
        if self.attention is not None:
            content = content + self.attention(streams, fusion, present)
        return fusion + (content if present is None else content * present.any(dim=1)[..., None])


def mean_of_present(streams: Tensor, present: Tensor | None) -> Tensor:
    """The mean of the modality tokens that each image has at each position.

    Args:
        streams: [B, M, N, D].
        present: [B, M, N] bool; None if all are.

    Returns:
        [B, N, D], 0 where there is none.
    """
    if present is None:
        return streams.mean(dim=1)
    weight = present.to(streams.dtype)
    return (streams * (weight / weight.sum(dim=1, keepdim=True).clamp(min=1))[..., None]).sum(dim=1)


class FixedBiLSTMAttention(nn.Module):
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
