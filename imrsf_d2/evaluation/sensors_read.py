"""Which sensors had data when images were read: a file without a valid pixel is a missing sensor, too."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from imrsf_d2.modalities import subset_title

__all__ = ["BlindTiles", "SensorsRead"]

logger = logging.getLogger(__name__)

#: At most this many tiles are named in a message.
NAMED = 3


class SensorsRead(DatasetEvaluator):
    """Records which modalities of the evaluated images have data; `evaluate` gathers this from all processes."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Discard what was recorded."""
        self._read: dict[object, tuple[str, ...]] = {}

    def process(self, inputs: Sequence[Mapping], outputs: object) -> None:
        """Record some images.

        Args:
            inputs: mapped samples; only their `image_id` and `modalities` are used. Those of another mapper, without
                `modalities`, are left out.
            outputs: not used.
        """
        self._read |= {sample["image_id"]: tuple(sample["modalities"]) for sample in inputs if "modalities" in sample}

    def evaluate(self) -> dict:
        """Gather the records of all processes; there are no scores."""
        self._read = {image_id: names for share in comm.gather(self._read) for image_id, names in share.items()}
        return {}

    def images_with(self, names: Sequence[str], image_ids: Sequence) -> dict[str, list]:
        """The images with data (at least one valid pixel) of each modality; after `evaluate`, in the first process.

        Args:
            names: of the modalities that were read.
            image_ids: of the images that were read.

        Returns:
            modality -> ids of the images, in the order of `image_ids`.
        """
        return {name: [image_id for image_id in image_ids if name in self._read[image_id]] for name in names}


class BlindTiles(SensorsRead):
    """Warns after an evaluation if the model predicted images without any data of its sensors.

    Args:
        dataset_name: for the message.
        given: the modalities that the model is given, for the message.
    """

    def __init__(self, dataset_name: str, given: Sequence[str]):
        super().__init__()
        self._dataset_name, self._given = dataset_name, tuple(given)

    def evaluate(self) -> dict:
        """Gather, and warn in the first process."""
        super().evaluate()
        blind = [image_id for image_id, names in self._read.items() if not names]
        if blind:
            named = ", ".join(map(repr, blind[:NAMED])) + f" and {len(blind) - NAMED} more" * (len(blind) > NAMED)
            logger.warning(
                "%d of %d tiles of %r have no data of %s (no file, or no valid pixel): image %s. They count in these scores, "
                "with what the model predicts without any data. tools/evaluate_modalities.py also scores the other tiles "
                "alone.",
                len(blind),
                len(self._read),
                self._dataset_name,
                subset_title(self._given),
                named,
            )
        return {}
