"""Disks as they should not be."""

import contextlib
import resource


@contextlib.contextmanager
def full_disk(bytes=200_000):
    """In the block no file can be larger than so many bytes, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
