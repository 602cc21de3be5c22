"""The sensors of a model: what one is, and their set with the channels of the image tensor.

Every other module asks this one: channel offsets are computed nowhere else, and statistics are written once.
"""

from imrsf_d2.modalities.modality import DECIBEL, TRANSFORMS, Modality, computed_part, unit_name, unmeasured
from imrsf_d2.modalities.modality_set import ModalitySet, subset_label, subset_title

__all__ = [
    "DECIBEL",
    "Modality",
    "ModalitySet",
    "TRANSFORMS",
    "computed_part",
    "subset_label",
    "subset_title",
    "unit_name",
    "unmeasured",
]
