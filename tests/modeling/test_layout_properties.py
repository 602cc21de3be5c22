"""The token layout of any batch: groups partition it, and every present token is found again, in its place."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.subset_groups import group_by_subset

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
    whole, short = [], []
    for m in range(layout.num_modalities):
        having = layout.whole_images(m)
        if having is not None:
            images = torch.arange(layout.num_images)[having].tolist()
            whole.append(torch.from_numpy(np.stack([number(image, m, layout.num_patches) for image in images]))[:, :, None])
        image, patch = layout.short_patches(m)
        short.append((1000 * image + 100 * m + patch)[:, None])
    return layout.pack(whole, short, torch.zeros(layout.num_patches, 1, dtype=torch.long))


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


def numbers_of(present, images):
    """The tokens of each row, modality after modality."""
    return [
        [int(number(image, m, present.shape[2])[n]) for m, n in of_row.nonzero().tolist()]
        for image, of_row in zip(images, present)
    ]


def places(runs):
    """[S, L] bool, the places of the runs that may be attended."""
    return torch.ones(runs.num_runs, runs.length, dtype=torch.bool) if runs.usable is None else runs.usable


def check(layout, present, images):
    tokens = packed(layout)[:, 0]
    rows = numbers_of(present, images)
    assert sorted(tokens.tolist()) == sorted(set().union(*rows)) and layout.num_tokens == len(tokens)
    assert layout.modality.tolist() == (tokens // 100 % 10).tolist()
    # Back in the order of the rows, with nothing where there is nothing.
    for m in range(present.shape[1]):
        expected = np.stack([number(image, m, layout.num_patches) for image in images])
        found = layout.unpack_streams(tokens[:, None], m)[:, :, 0]
        np.testing.assert_array_equal(found, np.where(present[:, m], expected, 0))
    # Each stream attends once, to itself, in the order of the tokens.
    last = 0
    for at, runs in layout.stream_parts():
        assert at.start == last
        last = at.stop
        assert runs.select(runs.take(tokens)).tolist() == tokens[at].tolist()
        for run, usable in zip(runs.take(tokens), places(runs)):
            (owner,) = set((run[usable] // 100).tolist())
            assert run[usable].tolist() == tokens[tokens // 100 == owner].tolist()
    assert last == len(tokens)
    # What fusion tokens look at are the present tokens of their row.
    seen = []
    for part in layout.fusion_parts():
        assert part.rows == slice(len(seen), len(seen) + part.streams.num_runs)
        seen += [run[usable].tolist() for run, usable in zip(part.streams.take(tokens), places(part.streams))]
        if part.usable is not None:
            assert torch.equal(part.usable[:, : part.streams.length], places(part.streams))
            assert (
                part.usable[:, part.streams.length :].all()
                and part.usable.shape[1] == part.streams.length + layout.num_patches
            )
    assert len(seen) == layout.num_fusion
    assert [seen[i] for i in layout.unpack_rows(torch.arange(len(seen)))] == rows
    row_images = layout.images_of_rows(fusion_only=True).unflatten(0, (-1, layout.num_patches))[:, 0]
    assert layout.unpack_rows(row_images).tolist() == list(images)
    # What is gathered at each position are the tokens that are there, with each subset.
    whole = layout.whole_streams(tokens)
    found = {}
    for group in layout.image_groups:
        for subset, of_subset in group.rows.items():
            for m in subset:
                for row, stream in zip(of_subset, whole[group.streams[m]] if m in group.streams else ()):
                    found.setdefault(row, []).extend(stream.tolist())
            for pattern, at in group.positions.items():
                for m in set(pattern) & set(subset):
                    for position, token in zip(at.tolist(), tokens[group.tokens[pattern, m]].tolist()):
                        assert token % 100 == position % layout.num_patches
                        found.setdefault(of_subset[position // layout.num_patches], []).append(token)
    assert [sorted(found.get(row, [])) for row in range(layout.num_fusion)] == [sorted(of_row) for of_row in seen]


@given(presences)
def test_every_present_token_is_found_again(present):
    for alone in (1, 2, 100):  # equal runs alone, or filled up
        layout = with_alone(alone, present)
        check(layout, present, range(len(present)))
        assert layout.num_fusion == len(present)
        tokens = torch.arange(layout.num_tokens)
        mixed = [part.streams.select(part.streams.take(tokens)) for part in layout.fusion_parts()]
        assert torch.equal(torch.cat([tokens[:0], *layout.in_token_order(mixed)]), tokens)


def with_alone(alone, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imrsf_d2.modeling.layout.CPU_ALONE", alone)
        return TokenLayout(*arguments)


@given(shared())
def test_rows_of_one_image_share_its_streams(rows):
    present, images = rows
    layout = TokenLayout(present, images)
    check(layout, present, images)
    assert layout.num_images == len(set(images))
    subsets = [tuple(torch.nonzero(of_row.any(dim=1)).flatten().tolist()) for of_row in present]
    assert layout.num_fusion == len(set(zip(images, subsets)))


@given(shared(), st.integers(1, 7), st.sampled_from([1, 100]))
def test_parts_of_the_work_are_all_of_the_work(rows, most, alone):
    """A part takes of all token rows just those of its runs, and `select` gives them back."""
    layout = with_alone(alone, *rows)
    tokens = torch.arange(layout.num_tokens)
    last = 0
    for at, runs in layout.stream_parts(most):
        assert at.start == last and (runs.num_runs == 1 or runs.num_runs * runs.length <= most)
        last = at.stop
        assert torch.equal(runs.select(runs.take(tokens)), tokens[at])
        assert torch.equal(runs.take(tokens[at], first=at.start), runs.take(tokens))
    assert last == layout.num_tokens
    whole = [part.streams.select(part.streams.take(tokens)) for part in layout.fusion_parts()]
    cut = [part.streams.select(part.streams.take(tokens)) for part in layout.fusion_parts(most)]
    assert torch.equal(torch.cat(cut), torch.cat(whole))
    for part in layout.fusion_parts(most):
        seen = part.streams.take(tokens).shape
        assert seen[0] == part.rows.stop - part.rows.start <= max(1, most // layout.num_patches)
        assert part.usable is None or part.usable.shape == (seen[0], seen[1] + layout.num_patches)


def test_runs_of_equal_length_need_no_mask_and_long_ones_wait_for_no_other():
    """Streams of 2, 3 and 3 of 4 patches, and rows with 2 + 3 and 3 + 4 of them."""
    present = torch.tensor([[[1, 0, 0, 1], [0, 1, 1, 1]], [[1, 1, 1, 0], [1, 1, 1, 1]]]).bool()

    def shapes(alone):
        layout = with_alone(alone, present)
        parts = [[part.runs for part in layout.stream_parts()], [part.streams for part in layout.fusion_parts()]]
        return [[(runs.num_runs, runs.length, runs.usable is None) for runs in of_kind] for of_kind in parts]

    assert shapes(alone=1) == [[(1, 4, True), (1, 2, True), (2, 3, True)], [(1, 5, True), (1, 7, True)]]
    assert shapes(alone=100) == [[(1, 4, True), (1, 2, True), (2, 3, True)], [(2, 7, False)]]
