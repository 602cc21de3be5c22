"""Everything that a config may name, made known to Detectron2: backbone, meta-architecture, datasets."""

from __future__ import annotations

import importlib

from imrsf_d2.compat.upstream import prepare

__all__ = ["register"]

#: Modules that register something when they are imported.
MODULES = ("imrsf_d2.data.datasets", "imrsf_d2.modeling.backbone", "imrsf_d2.modeling.pretrain")


def register() -> None:
    """Make upstream ready (see `imrsf_d2.compat.upstream.prepare`) and register all that is ours. A second call does nothing.

    Raises:
        UpstreamError: if detectron2 or Mask2Former is not installed or does not work.
    """
    prepare()
    for module in MODULES:
        importlib.import_module(module)
