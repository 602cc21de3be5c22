"""Lets the scripts of other projects read configs with our keys, unchanged.

    DETECTRON2_ENV_MODULE=imrsf_d2.plugin python Mask2Former/train_net.py --config-file mine.yaml

Detectron2 calls `setup_environment` of the module that this variable names as soon as it is imported, in each process of a run.
So neither a script nor Detectron2 nor Mask2Former has to be changed, and what is imported first does not matter.
"""

import sys

import imrsf_d2

__all__ = ["setup_environment"]


def setup_environment() -> None:
    """Add our keys to Detectron2's defaults, which every config starts from. A second call does nothing."""
    if not hasattr(sys.modules.get("imrsf_d2.config", imrsf_d2), "__all__"):
        return  # half imported: it is what imports Detectron2, for somebody who adds the keys
    from detectron2.config import defaults

    from imrsf_d2.config import add_imrsf_config

    if "IMRSF" not in defaults._C.MODEL:
        add_imrsf_config(defaults._C)
