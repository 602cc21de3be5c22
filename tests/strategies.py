"""What hypothesis draws transforms, images and seeds from."""

import numpy as np
from hypothesis import strategies as st

from imrsf_d2.data.geometry import Geometry

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
sides = st.integers(1, 20)
geometries = st.builds(
    Geometry,
    st.integers(0, 12),
    st.integers(0, 12),
    sides,
    sides,
    st.integers(0, 3),
    st.booleans(),
    st.none() | st.tuples(sides, sides),
)
seeds = st.integers(0, 2**32 - 1)
#: What an invalid pixel may hold.
garbage_values = st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -9999.0])
