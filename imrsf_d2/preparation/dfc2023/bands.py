"""What the rasters of DFC2023 hold, as far as preparing them depends on it: no statistics, no clipping."""

from __future__ import annotations

from imrsf_d2.modalities import Modality, ModalitySet

__all__ = ["BANDS", "DTYPE_KINDS"]

#: Which pixels hold data follows from these; configs/base/dfc2023.yaml says the same, and a test that it does.
BANDS = ModalitySet([Modality("rgb", 3, nodata=0), Modality("sar", 1, transform="db"), Modality("dsm", 1)])
#: modality -> numpy's letter for the kind of data type, and its name
DTYPE_KINDS = {"rgb": ("u", "unsigned integers"), "sar": ("f", "floating point"), "dsm": ("f", "floating point")}
