"""Stochastic depth: what is kept is scaled so that a layer gives, on average, what the full layer gives."""

import pytest
import torch

from imrsf_d2.modeling.block import Block
from imrsf_d2.modeling.layout import TokenLayout

#: Of skipping. Not a half: there 1 / (1 - p) and 1 / p are the same.
P = 0.2
#: Enough that the share of skipped samples is known to 0.01 (three standard deviations of it are 0.0085).
IMAGES, PATCHES = 20_000, 2


def packed(coverage):
    """Two sensors: the first image has both, the others have the second."""
    present = torch.ones(IMAGES, 2, PATCHES, dtype=torch.bool)
    present[1:, 0] = False
    if coverage == "partial":
        present[:, 1, 0] = False
    return TokenLayout(present)


@pytest.mark.parametrize("silent", ["attn.proj", "mlp.fc2"])
@pytest.mark.parametrize("coverage", ["full", "partial"])
@pytest.mark.parametrize("fusion_only", [False, True])
def test_a_kept_branch_is_rescaled_so_that_the_mean_is_the_full_layer(silent, coverage, fusion_only):
    """One branch alone, the other one's output being zero: skipped, it adds 0; kept, exactly 1 / (1 - p) of itself."""
    torch.manual_seed(1)
    block = Block(dim=8, num_heads=2, drop_path=P).double()
    with torch.no_grad():
        for parameter in block.get_submodule(silent).parameters():
            parameter.zero_()
    layout = packed(coverage)
    tokens = torch.randn(layout.num_tokens + IMAGES * PATCHES, 8, dtype=torch.float64)
    before = tokens[-IMAGES * PATCHES :] if fusion_only else tokens
    full = block.eval()(tokens, layout, fusion_only) - before
    drawn = block.train()(tokens, layout, fusion_only) - before

    images = layout.images_of_rows(fusion_only)
    row_is_skipped = (drawn == 0).all(dim=1)
    skipped = torch.zeros(IMAGES, dtype=torch.bool).index_fill(0, images[row_is_skipped], True)
    assert torch.equal(skipped[images], row_is_skipped)  # all rows of an image alike
    torch.testing.assert_close(drawn[~row_is_skipped], full[~row_is_skipped] / (1 - P), rtol=1e-9, atol=1e-12)
    assert skipped.double().mean().item() == pytest.approx(P, abs=0.01)
    projection = (drawn * full).sum() / full.square().sum()  # 1 if E[drawn] = full
    assert projection.item() == pytest.approx(1.0, abs=0.02)


def test_in_evaluation_nothing_is_skipped_or_rescaled():
    torch.manual_seed(1)
    block = Block(dim=8, num_heads=2, drop_path=P).double().eval()
    layout = TokenLayout(torch.ones(4, 2, PATCHES, dtype=torch.bool))
    tokens = torch.randn(4 * 3 * PATCHES, 8, dtype=torch.float64)
    never = Block(dim=8, num_heads=2, drop_path=0.0).double().train()
    never.load_state_dict(block.state_dict())
    assert torch.equal(block(tokens, layout), never(tokens, layout))
