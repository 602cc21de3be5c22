"""What docs/scaling.md says an encoder keeps for its backward pass, against what it does keep."""

import re

import pytest
import torch

from projects.benchmarks.cases import Case
from tests.tiny import REPOSITORY


def kept_bytes(case, image):
    """Bytes that a forward pass keeps, weights left out."""
    model = case.build().train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    stored = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            stored[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = model(image)
    assert features  # alive until here, so that no storage had the address of an earlier one
    return sum(stored.values())


@pytest.mark.parametrize(
    "width, depth, pixels, batch", [(192, 4, 64, 2), (192, 8, 64, 2), (192, 4, 128, 1), (384, 6, 64, 1)]
)
def test_the_formula_of_the_page_holds_within_a_twentieth(width, depth, pixels, batch):
    page = (REPOSITORY / "docs/scaling.md").read_text()
    [(per_block, besides)] = re.findall(r"tokens × D × \((\d+) × blocks \+ (\d+)\) bytes", page)
    case = Case(embed_dim=width, depth=depth, num_heads=width // 32, batch_size=batch)
    tokens = batch * case.num_patches(pixels) * (case.num_modalities + 1)
    expected = tokens * width * (int(per_block) * depth + int(besides))
    assert kept_bytes(case, case.images(pixels)) == pytest.approx(expected, rel=0.05)
