"""Incomplete multimodal segmentation of remote-sensing imagery for Detectron2 and Mask2Former.

Importing the package imports neither torch nor detectron2; `imrsf_d2.upstream.prepare()` is where those come in.
"""

__version__ = "0.1.0"
