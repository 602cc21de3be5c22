"""Bi-LSTM attention: gathers the modalities of each patch position into its fusion token (paper section III-B)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from imrsf_d2.modeling.by_position import Result, at_each_position
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.linear import linear

__all__ = ["BiLSTMAttention"]

#: Stands for the fusion token where modalities are given by index.
FUSION = -1
FORWARD, BACKWARD = 0, 1


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
        # Only its parameters are used: `_States` runs it step by step, so that what sequences share is computed once.
        self.lstm = nn.LSTM(embed_dim, embed_dim // 2, bidirectional=True)
        self.attn = nn.Linear(2 * embed_dim, embed_dim)
        self.score = nn.Linear(embed_dim, 1, bias=False)
        nn.init.xavier_uniform_(self.attn.weight)
        nn.init.zeros_(self.attn.bias)
        nn.init.xavier_uniform_(self.score.weight)

    def forward(
        self, tokens: Tensor, fusion: Tensor, layout: TokenLayout, importance: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Gather all positions of a batch.

        Args:
            tokens: [T, D] packed modality tokens.
            fusion: [N, D] fusion tokens, the same for every row.
            importance: also return beta.

        Returns:
            The new fusion tokens [R, N, D], and beta [R, M, N] (0 where absent, no gradient) or None, in packed order.
        """

        def compute(here: Mapping[int, Tensor], fusion: Tensor, subsets: Iterable[tuple[int, ...]]) -> list[Result]:
            return self._gather(here, fusion, subsets, layout.num_modalities if importance else None)

        return at_each_position(compute, tokens, fusion, layout)

    def _gather(
        self, tokens: Mapping[int, Tensor], fusion: Tensor, subsets: Iterable[tuple[int, ...]], num_modalities: int | None
    ) -> list[Result]:
        """Eqs. 2-3 for positions that all have the same modalities.

        Args:
            tokens: [G, N, D] of each modality that is there, in config order.
            fusion: [1, N, D].
            subsets: modalities to gather.
            num_modalities: M, if beta is asked for.

        Returns:
            For each subset the new fusion tokens and beta; for the empty one, the tokens as they were [1, N, D] and [1, M, N].
        """
        states = _States(self, {**tokens, FUSION: fusion})
        beta = None if num_modalities is None else fusion.new_zeros(1, num_modalities, fusion.shape[1])
        done: dict[tuple[int, ...], Result] = {(): (fusion, beta)}
        for subset in subsets:
            if subset not in done:
                new, weights = states.attend(subset)
                done[subset] = new, None if num_modalities is None else _of_all(weights, subset, num_modalities)
        return [done[subset] for subset in subsets]


def _of_all(weights: Tensor, subset: tuple[int, ...], num_modalities: int) -> Tensor:
    """Weights [k, G, N] of a subset of k modalities as [G, M, N], 0 for the others, without gradient."""
    of_each = dict(zip(subset, weights.detach()))
    absent = torch.zeros_like(weights[0])
    return torch.stack([of_each.get(m, absent) for m in range(num_modalities)], dim=1)


class _States:
    """States of the Bi-LSTM at positions that all have the same modalities, each computed when first asked for.

    A forward state depends on the modalities up to it, a backward state on those after it, so several subsets of a
    position share states: all 15 subsets of four modalities take 46 steps of one direction, and 94 one by one. The
    backward direction starts at the fusion token, which is the same in every image.

    Args:
        module: holds the parameters.
        tokens: [G, N, D] of each modality; [1, N, D] of FUSION.
    """

    def __init__(self, module: BiLSTMAttention, tokens: Mapping[int, Tensor]):
        self.module = module
        self._tokens = tokens
        directions = module.lstm.all_weights  # of each: input weight, recurrent weight, and a bias for both
        self._weights = [weight for weight, _, _, _ in directions]
        self._recurrent = [weight for _, weight, _, _ in directions]
        self._biases = [of_input + of_hidden for _, _, of_input, of_hidden in directions]
        self._inputs: dict[tuple[int, int], Tensor] = {}
        # W [h_t; h_i] = W_t h_t + W_i h_i, and each h is [forward; backward]: four parts, computed once each.
        self._of_last, self._of_each = (half.chunk(2, dim=1) for half in module.attn.weight.chunk(2, dim=1))
        self._states: dict[tuple[int, tuple[int, ...]], tuple[Tensor, Tensor]] = {}
        self._projected: dict[tuple[int, tuple[int, ...]], Tensor] = {}

    def attend(self, subset: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Eqs. 2-3: the new fusion tokens [G, N, D] and beta [k, G, N] of a subset of k >= 1 modalities."""
        last = linear(self._state(FORWARD, (*subset, FUSION))[0], self._of_last[FORWARD], self.module.attn.bias)
        last = last + linear(self._state(BACKWARD, (FUSION,))[0], self._of_last[BACKWARD])
        orders = [(subset[: i + 1], (FUSION, *reversed(subset[i:]))) for i in range(len(subset))]
        scores = [
            # A sum of products: a matrix product of a single column rounds a row by where it stands among the others.
            (
                torch.tanh(last + self._project(FORWARD, before) + self._project(BACKWARD, after))
                * self.module.score.weight[0]
            ).sum(dim=-1, keepdim=True)
            for before, after in orders
        ]
        beta = torch.stack(scores).softmax(dim=0)  # [k, G, N, 1]
        halves = (
            torch.stack([self._state(direction, pair[direction])[0] for pair in orders]) for direction in (FORWARD, BACKWARD)
        )
        tokens = torch.cat([(beta * half).sum(dim=0) for half in halves], dim=-1)
        return tokens, beta.squeeze(-1)

    def _project(self, direction: int, order: tuple[int, ...]) -> Tensor:
        """[G, N, D]: a state's part in tanh(...)."""
        key = direction, order
        if key not in self._projected:
            self._projected[key] = linear(self._state(direction, order)[0], self._of_each[direction])
        return self._projected[key]

    def _input(self, direction: int, m: int) -> Tensor:
        """[G, N, 2 D]: what a token adds to the four gates of one direction."""
        key = direction, m
        if key not in self._inputs:
            self._inputs[key] = linear(self._tokens[m], self._weights[direction], self._biases[direction])
        return self._inputs[key]

    def _state(self, direction: int, order: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Hidden and cell state [G, N, D / 2] of one direction after the tokens of `order`."""
        key = direction, order
        if key not in self._states:
            gates = self._input(direction, order[-1])
            cell = None
            if len(order) > 1:
                hidden, cell = self._state(direction, order[:-1])
                gates = gates + linear(hidden, self._recurrent[direction])
            # Under autocast the products are in a narrow type. The cell state is a sum over the sequence: it stays in float32.
            gates = gates.to(torch.promote_types(gates.dtype, torch.float32))
            take, forget, new, give = gates.chunk(4, dim=-1)
            taken = take.sigmoid() * new.tanh()
            cell = taken if cell is None else taken + forget.sigmoid() * cell
            self._states[key] = give.sigmoid() * cell.tanh(), cell
        return self._states[key]
