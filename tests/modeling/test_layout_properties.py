"""The token layout of any batch: groups partition it, and every present token is found again, in its place."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.subset_groups import group_by_subset
from imrsf_d2.modeling.visible_layout import VisibleLayout

shapes = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
#: Samples tend to have all of a modality, or nothing of it.
presences = shapes.flatmap(
    lambda shape: st.builds(
        lambda some, cut, mostly: torch.from_numpy(some[:, :, None] & (cut | mostly[:, None, None])),
        arrays(bool, shape[:2]),
        arrays(bool, shape),
        arrays(bool, shape[:1]),
    )
)


@st.composite
def shared(draw):
    """Presence of rows of which some show one image with different modalities, and the image of each."""
    of_images = draw(presences)
    images = draw(st.lists(st.integers(0, len(of_images) - 1), min_size=1, max_size=8))
    images = [sorted(set(images)).index(image) for image in images]
    keeps = draw(arrays(bool, (len(images), of_images.shape[1])))
    return of_images[images] & torch.from_numpy(keeps)[:, :, None], images


def number(image, modality, num_patches):
    """Tokens that name their image, modality and patch."""
    return 1000 * image + 100 * modality + np.arange(num_patches)


def packed(layout):
    tokens = [
        torch.tensor(np.stack([number(image, m, layout.num_patches) for image in having]))[:, :, None]
        for m in range(layout.num_modalities)
        if (having := layout.images_with(m))
    ]
    return layout.pack(tokens) if tokens else torch.zeros(0, layout.num_patches, 1, dtype=torch.long)


@given(presences)
def test_groups_partition_the_batch_into_samples_of_one_subset(present):
    groups = group_by_subset(present)
    assert sorted(i for group in groups for i in group.index) == list(range(len(present)))
    assert len({(group.subset, group.partial) for group in groups}) == len(groups)
    partial = [group.partial for group in groups]
    assert partial == sorted(partial)
    for group in groups:
        assert list(group.index) == sorted(group.index)
        for i in group.index:
            has = present[i].any(dim=1)
            assert group.subset == tuple(torch.nonzero(has).flatten().tolist())
            assert group.partial == bool((has & ~present[i].all(dim=1)).any())


def check(layout, present, images):
    tokens = packed(layout)
    pairs = {(image, m) for row, image in enumerate(images) for m in range(present.shape[1]) if present[row, m].any()}
    assert layout.num_pairs == len(pairs) == len(tokens)
    assert set(zip(layout.pair_image, layout.pair_modality)) == pairs
    for p, (image, m) in enumerate(zip(layout.pair_image, layout.pair_modality)):
        assert tokens[p, :, 0].tolist() == number(image, m, layout.num_patches).tolist()
    # Back in the order of the rows, with nothing where there is nothing.
    for m in range(present.shape[1]):
        expected = np.stack([number(image, m, layout.num_patches) for image in images])
        found = layout.unpack_streams(tokens, m)[:, :, 0]
        np.testing.assert_array_equal(found, np.where(present[:, m], expected, 0))
    rows = torch.tensor(layout.row_image)
    assert layout.unpack_rows(rows).tolist() == list(images)
    # What a group's queries look at are the present tokens of its own images.
    for group, at, streams in layout.spans():
        seen = tokens[streams][:, :, 0].reshape(len(group.index), len(group.subset), layout.num_patches)
        usable = layout.group_key_mask(group)
        for i, row in enumerate(group.index):
            assert layout.row_image[at][i] == images[row]
            assert [int(stream[0]) for stream in seen[i]] == [1000 * images[row] + 100 * m for m in group.subset]
            here = present[row, list(group.subset)].flatten()
            assert here.all() if usable is None else torch.equal(usable[i, : len(here)], here)
            assert usable is None or usable[i, len(here) :].all()


@given(presences)
def test_every_present_token_is_found_again(present):
    layout = TokenLayout(present)
    check(layout, present, range(len(present)))
    assert layout.num_fusion == len(present)
    keys = [
        torch.ones(runs.num_runs, layout.num_patches, dtype=torch.bool) if runs.usable is None else runs.usable
        for runs in layout.stream_parts(2)
    ]
    expected = [present[i, m] for i, m in zip(layout.pair_image, layout.pair_modality)]
    assert torch.equal(torch.cat(keys), torch.stack(expected)) if keys else not expected


@given(shared())
def test_rows_of_one_image_share_its_streams(rows):
    present, images = rows
    layout = TokenLayout(present, images)
    check(layout, present, images)
    assert layout.num_images == len(set(images))
    subsets = [tuple(torch.nonzero(of_row.any(dim=1)).flatten().tolist()) for of_row in present]
    assert layout.num_fusion == len(set(zip(images, subsets)))


@given(shared(), st.integers(1, 3))
def test_parts_of_the_work_are_all_of_the_work(rows, most):
    """A part takes of all token rows just those of its streams, and `select` gives them back."""
    layout = TokenLayout(*rows)
    tokens = torch.arange(layout.num_tokens)
    streams = [runs.select(runs.take(tokens)) for runs in layout.stream_parts(most)]
    assert torch.equal(torch.cat([tokens[:0], *layout.in_token_order(streams)]), tokens)
    assert [i for part in layout.fusion_parts(most) for i in range(part.rows.start, part.rows.stop)] == list(
        range(layout.num_fusion)
    )
    whole = [tokens.unflatten(0, (-1, layout.num_patches))[streams].flatten() for _, _, streams in layout.spans()]
    cut = [part.streams.select(part.streams.take(tokens)) for part in layout.fusion_parts(most)]
    assert torch.equal(torch.cat(cut), torch.cat(whole))
    for part in layout.fusion_parts(most):
        seen = part.streams.take(tokens).shape
        assert seen[0] == part.rows.stop - part.rows.start
        assert part.usable is None or part.usable.shape == (seen[0], seen[1] + layout.num_patches)


@given(presences)
def test_visible_tokens_are_all_in_the_streams_and_all_of_a_sample_is_before_its_fusion_tokens(visible):
    layout = VisibleLayout(visible, torch.device("cpu"))
    tokens = torch.arange(layout.num_tokens)
    streams = [runs.select(runs.take(tokens)) for runs in layout.stream_parts()]
    assert torch.equal(torch.cat([tokens[:0], *layout.in_token_order(streams)]), tokens)
    for runs in layout.stream_parts():  # each run is one stream
        places = torch.ones(runs.index.shape, dtype=torch.bool) if runs.usable is None else runs.usable
        for row, usable in zip(runs.index, places):
            owners = set(zip(layout.image[row[usable]].tolist(), layout.modality[row[usable]].tolist()))
            assert len(owners) == 1 and row[usable].tolist() == sorted(set(row[usable].tolist()))
    (part,) = layout.fusion_parts()
    assert torch.equal(part.streams.select(part.streams.take(tokens)), tokens)
    for image, row in enumerate(part.streams.take(tokens)):
        usable = torch.ones(len(row), dtype=torch.bool) if part.usable is None else part.usable[image, : len(row)]
        assert row[usable].tolist() == tokens[layout.image == image].tolist()
    assert part.usable is None or part.usable[:, -layout.num_patches :].all()
