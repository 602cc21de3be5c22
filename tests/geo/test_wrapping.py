"""Intervals on a circle: what holds for all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imrsf_d2.geo.wrapping import meets, smallest_arc, turns

arcs = st.lists(st.tuples(st.integers(-180, 360), st.integers(0, 200)), min_size=1, max_size=6)


@given(arcs)
def test_the_smallest_arc_holds_all_and_leaves_out_the_widest_gap(arcs):
    left = np.array([start for start, _ in arcs], dtype=float)
    right = left + [length for _, length in arcs]
    low, high = smallest_arc(left, right, 360.0)
    for start, end in zip(left, right):
        inside = [low <= start + 360 * k and end + 360 * k <= high for k in turns(start, end, low, high, 360.0)]
        assert high - low == 360 or any(inside)
    # Whole degrees and the stretches between them: what no interval touches, and the longest run of it.
    free = np.ones(720, dtype=bool)
    for start, end in zip(left.astype(int), right.astype(int)):
        free[np.arange(2 * start, 2 * end + 1) % 720] = False
    longest = max((len(run) for run in "".join("x" if f else " " for f in [*free, *free]).split()), default=-1)
    assert high - low == 360 - (longest + 1) // 2


@given(*[st.integers(-720, 720), st.integers(0, 359)] * 2)
def test_intervals_meet_if_they_do_in_some_number_of_turns(left, length, low, width):
    expected = any(left + 360 * k <= low + width and left + length + 360 * k >= low for k in range(-6, 7))
    found = meets(np.array([float(left)]), np.array([float(left + length)]), low, low + width, 360.0)
    assert found.tolist() == [expected]
    assert bool(turns(left, left + length, low, low + width, 360.0)) == expected
