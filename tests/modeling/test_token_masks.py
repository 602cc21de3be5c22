"""Which patches are visible: exact numbers, nothing that is not there, and the Dirichlet law."""

import numpy as np
import pytest

from imrsf_d2.modeling.token_masks import draw_visible, share_out


def random_presence(rng, num_modalities=4, num_patches=30):
    present = rng.random((num_modalities, num_patches)) < rng.random((num_modalities, 1))
    present[rng.random(num_modalities) < 0.3] = False
    return present


@pytest.mark.parametrize("alpha", [0.05, 1.0, 50.0])
def test_the_number_of_visible_patches_is_exact_and_none_is_missing_there(alpha):
    rng = np.random.default_rng(0)
    for _ in range(300):
        present, count = random_presence(rng), int(rng.integers(1, 100))
        visible = draw_visible(present, count, alpha, rng)
        assert visible.sum() == min(count, present.sum())
        assert not (visible & ~present).any()


def test_a_sample_with_nothing_shows_nothing():
    assert not draw_visible(np.zeros((3, 5), dtype=bool), 4, 1.0, np.random.default_rng(0)).any()


def test_the_same_seed_draws_the_same():
    present = np.ones((3, 64), dtype=bool)
    first, again, other = (draw_visible(present, 64, 1.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_shares_follow_the_symmetric_dirichlet_law(alpha):
    present, rng = np.ones((3, 200), dtype=bool), np.random.default_rng(0)
    shares = np.array([draw_visible(present, 200, alpha, rng).sum(axis=1) / 200 for _ in range(3000)])
    # Mean 1 / M and variance (M - 1) / (M^2 (M alpha + 1)) of Dirichlet(alpha, ..., alpha).
    variance = 2 / (9 * (3 * alpha + 1))
    np.testing.assert_allclose(shares.mean(axis=0), 1 / 3, atol=4 * np.sqrt(variance / 3000))
    np.testing.assert_allclose(shares.var(axis=0), variance, rtol=0.1)


def test_within_a_modality_every_patch_is_equally_likely():
    present, rng = np.ones((2, 10), dtype=bool), np.random.default_rng(0)
    seen = sum(draw_visible(present, 8, 1.0, rng).astype(int) for _ in range(4000)) / 4000
    np.testing.assert_allclose(seen, 0.4, atol=0.03)


@pytest.mark.parametrize(
    "count, shares, room, expected",
    [
        (10, [0.5, 0.3, 0.2], [99, 99, 99], [5, 3, 2]),
        (10, [0.55, 0.25, 0.2], [99, 99, 99], [6, 2, 2]),  # 5.5, 2.5, 2.0: the tie of remainders goes to the first
        (10, [0.8, 0.1, 0.1], [4, 99, 99], [4, 3, 3]),  # what exceeds the room goes to the others
        (5, [1.0, 0.0], [2, 9], [2, 3]),
        (1, [0.2, 0.5, 0.3], [9, 9, 9], [0, 1, 0]),
        (0, [0.5, 0.5], [3, 3], [0, 0]),
    ],
)
def test_shares_become_whole_numbers(count, shares, room, expected):
    assert share_out(count, np.array(shares), np.array(room)).tolist() == expected
