"""The bands of DFC2023 as the preparation needs them: without statistics and clipping."""

from __future__ import annotations

from imrsf_d2.modalities import Modality, ModalitySet

__all__ = ["BANDS", "DTYPE_KINDS"]

#: Which pixels hold data follows from these. A test compares them with configs/base/dfc2023.yaml.
BANDS = ModalitySet([Modality("rgb", 3, nodata=0), Modality("sar", 1, transform="db"), Modality("dsm", 1)])
#: modality -> NumPy's letter for the kind of data type, and its name
DTYPE_KINDS = {"rgb": ("u", "unsigned integers"), "sar": ("f", "floating point"), "dsm": ("f", "floating point")}
