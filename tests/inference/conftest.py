import resource

import pytest


@pytest.fixture
def full_disk():
    """Call it, and no file can be larger than so many bytes, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(bytes=200_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, hard))

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
