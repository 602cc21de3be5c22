"""What scores and their parts go by: the ids of images and the names of classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from imrsf_d2.utils.errors import InputError

__all__ = ["check_score_keys"]


def check_score_keys(dataset_name: str, samples: Sequence[Mapping], classes: Sequence[str]) -> None:
    """Check that scores have keys of their own: of duplicates, one would overwrite the other.

    Args:
        dataset_name: for messages.
        samples: its dataset dicts.
        classes: names, in the order of the indices.

    Raises:
        InputError: if two samples have the same image_id, or two classes the same name.
    """
    for what, values in (("image_id", [sample["image_id"] for sample in samples]), ("class name", classes)):
        for value, count in Counter(values).items():
            if count > 1:
                raise InputError(f"{dataset_name!r} has the {what} {value!r} {count} times, expected each only once.")
