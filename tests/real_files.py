"""Real files, which lie beside a checkout and are no part of the repository."""

import pytest

from tests.tiny import REPOSITORY

PLACE = "shared/data/terramesh"
#: Sentinel-1 RTC in decibels, Sentinel-2 L2A, a height model and land cover of three places, or None. Beside the checkout; a
#: worktree may lie two folders deeper.
TERRAMESH = next((parent / PLACE for parent in REPOSITORY.parents[:3] if (parent / PLACE).is_dir()), None)
needs_terramesh = pytest.mark.skipif(TERRAMESH is None, reason=f"needs tiles of TerraMesh in ../{PLACE}, which is not there")
