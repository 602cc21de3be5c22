"""The contrastive loss of eq. 6 where its value is known."""

import torch

from imrsf_d2.modeling.contrastive import info_nce


def test_info_nce_of_matching_pairs_is_small_and_absent_ones_do_not_count():
    vectors = torch.eye(4)[:, None].repeat(1, 3, 1)
    has = torch.tensor([[True, True], [True, False], [True, True], [True, False]])
    assert info_nce(vectors, has, 0.01) < 1e-6
    changed = vectors.clone()
    changed[1, 1] = changed[3, 1] = torch.tensor([9.0, 9.0, 0.0, 0.0])
    assert info_nce(changed, has, 0.01) == info_nce(vectors, has, 0.01)
    changed[0, 1] = vectors[2, 1]
    assert info_nce(changed, has, 0.01) > 1.0
