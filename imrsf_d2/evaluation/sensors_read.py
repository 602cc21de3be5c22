"""Which sensors held data when images were read: a file without a valid pixel is a missing sensor, too."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from imrsf_d2.modalities import subset_title

__all__ = ["BlindTiles", "SensorsRead"]

logger = logging.getLogger(__name__)

#: So many tiles are named in a message.
NAMED = 3


class SensorsRead(DatasetEvaluator):
    """Remembers which modalities the images that pass by hold data of; `evaluate` gathers it from all processes."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Forget everything taken in."""
        self._read: dict[object, tuple[str, ...]] = {}

    def process(self, inputs: Sequence[Mapping], outputs: object) -> None:
        """Take in some images.

        Args:
            inputs: mapped samples; only their `image_id` and `modalities` are looked at. Those of a mapper that gives no
                `modalities` are left out.
            outputs: not looked at.
        """
        self._read |= {sample["image_id"]: tuple(sample["modalities"]) for sample in inputs if "modalities" in sample}

    def evaluate(self) -> dict:
        """Gather what all processes took in; there is nothing to score."""
        self._read = {image_id: names for share in comm.gather(self._read) for image_id, names in share.items()}
        return {}

    def images_with(self, names: Sequence[str], image_ids: Sequence) -> dict[str, list]:
        """Which images hold data of each modality, at least one valid pixel; after `evaluate`, on the first process.

        Args:
            names: of the modalities that were read.
            image_ids: of the images that were read, in the order wanted.
        """
        return {name: [image_id for image_id in image_ids if name in self._read[image_id]] for name in names}


class BlindTiles(SensorsRead):
    """Says after an evaluation how many images gave the model no data at all: what it predicted there looks at nothing.

    Args:
        dataset_name: for the message.
        given: the modalities that the model was given, for the message.
    """

    def __init__(self, dataset_name: str, given: Sequence[str]):
        super().__init__()
        self._dataset_name, self._given = dataset_name, tuple(given)

    def evaluate(self) -> dict:
        """Gather, and warn on the first process."""
        super().evaluate()
        blind = [image_id for image_id, names in self._read.items() if not names]
        if blind:
            named = ", ".join(map(repr, blind[:NAMED])) + f" and {len(blind) - NAMED} more" * (len(blind) > NAMED)
            logger.warning(
                "%d of %d tiles of %r have no data of %s (no file, or not one valid pixel): image %s. They count "
                "in these scores with what the model predicts from nothing; tools/evaluate_modalities.py "
                "also scores the others by themselves.",
                len(blind),
                len(self._read),
                self._dataset_name,
                subset_title(self._given),
                named,
            )
        return {}
