"""The encoder on packed visible patches."""

import pytest
import torch

from tests.modeling.conftest import GRID, MODALITIES, SUBSETS, build, make_images


@pytest.mark.parametrize(
    "ablation", [{}, {"masked_attention": False}, {"gather": "none"}, {"gather": "mean"}, {"gather": "mean_bilstm"}], ids=str
)
@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_visible_tokens_are_encoded_as_if_nothing_else_were_there(ablation, coverage):
    """The packed encoder of pre-training equals the encoder of whole images whose other patches are no data."""
    encoder, images = build(**ablation), make_images(SUBSETS, coverage)
    patches = encoder.read(images)
    visible = patches.present & (torch.rand(patches.present.shape, generator=torch.Generator().manual_seed(1)) < 0.5)
    seen = images.clone()
    seen[:, 5:] *= visible.unflatten(2, GRID).repeat_interleave(8, 2).repeat_interleave(8, 3)
    whole, packed = encoder.encode(seen, streams=True), encoder.encode_visible(patches, visible, streams=True)
    torch.testing.assert_close(packed.fusion, whole.fusion, rtol=1e-9, atol=1e-10)
    for m, name in enumerate(m.name for m in MODALITIES):
        found = packed.layout.unpack_streams(packed.tokens, m)
        torch.testing.assert_close(found, whole.streams[name], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(encoder.encode_visible(patches, visible).fusion, whole.fusion, rtol=1e-9, atol=1e-10)
