"""Several views of the same images in a training batch: what separate rows give, with fewer streams."""

import pytest
import torch

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.tokens import keep_modalities
from tests.modeling.conftest import MODALITIES, SUBSETS, build, make_images
from tests.modeling.test_subsets import SEPARATE, SHARING

SET = ModalitySet(MODALITIES)
ALL = SET.names


def make_views(coverage, having=(ALL, ("sar", "landuse"), ALL)):
    """[3 * B, 8, 16, 24]: at most three images, complete (as far as they are), then with two draws of subsets each."""
    images = make_images(having, coverage)
    draws = [[ALL] * 3, [("sar",), ("landuse",), ("rgb", "landuse")], [("sar",), ("sar", "landuse"), SUBSETS[1]]]
    return torch.cat([keep_modalities(image[None], SET, subset) for draw in draws for image, subset in zip(images, draw)])


def trained(model, rows):
    model.train().zero_grad()
    maps = model(rows)
    generator = torch.Generator().manual_seed(0)
    sum((grid * torch.randn(grid.shape, generator=generator, dtype=grid.dtype)).sum() for grid in maps.values()).backward()
    return maps, {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("coverage", ["full", "partial"])
@pytest.mark.parametrize("changes", [*SHARING, SEPARATE[0], {"detail": 4}, {"detail": 4, "absent": "zeros"}], ids=str)
def test_views_equal_rows_of_their_own_and_so_do_their_gradients(changes, coverage):
    check_views(changes, make_views(coverage))


@pytest.mark.parametrize("having", [[ALL] * 3, [ALL, ALL, ("sar",)], [ALL], [("sar",), ALL]], ids=len)
@pytest.mark.parametrize("changes", [{}, {"gather": "mean_bilstm", "detail": 4}], ids=str)
def test_images_that_all_have_a_modality_are_those_of_the_first_view(changes, having):
    check_views(changes, make_views("full", having))


def check_views(changes, rows):
    model = build(**changes)
    maps, gradients = trained(model, rows)
    model.views = 3
    found, found_gradients = trained(model, rows)
    for name, grid in maps.items():
        torch.testing.assert_close(found[name], grid, rtol=1e-10, atol=1e-10)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, rtol=1e-8, atol=1e-9, msg=lambda text: f"{name}: {text}")
    assert torch.equal(model.eval()(rows)["res2"], build(**changes).eval()(rows)["res2"])  # a batch like any other


def test_a_stream_is_computed_once_for_all_views(monkeypatch):
    made = []
    monkeypatch.setattr(
        "imrsf_d2.modeling.encoder.TokenLayout", lambda *args, **more: made.append(TokenLayout(*args, **more)) or made[-1]
    )
    model = build()
    for views in (1, 3):
        model.views = views
        model.train()(make_views("full"))
    # Of the complete view 8 streams; the other views have 4 and 4 besides.
    assert [layout.num_tokens // layout.num_patches for layout in made] == [8 + 4 + 4, 8]


def test_a_batch_that_is_not_of_views_is_refused():
    model = build()
    model.views = 3
    with pytest.raises(ValueError, match="the batch has 2 rows, expected a multiple of its 3 views"):
        model.train()(make_images([ALL] * 2))
