"""Everything that a config may name, made known to Detectron2: backbone, meta-architecture, datasets.

Detectron2 looks a name up in its registries when a model or a loader is built, so `import imrsf_d2` has to be enough, before
or after Detectron2 is imported. It must not cost time where Detectron2 is never used: our modules are imported right
after the package of Detectron2 that holds the registry, and at once if it is there already.

Mappers and evaluators have no registry: `imrsf_d2.build_mapper` and `imrsf_d2.build_evaluator` make what a config names.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["register", "register_with_detectron2"]

#: Package of Detectron2 -> our modules that register something there when they are imported.
OURS = {
    "detectron2.data": ("imrsf_d2.data.datasets",),
    "detectron2.modeling": (
        "imrsf_d2.modeling.backbone",
        "imrsf_d2.modeling.pretrain",
        "imrsf_d2.modeling.pyramid_backbones",
    ),
}

#: What cannot be imported everywhere without help. Not the package alone: it may be what imports Detectron2, and so us.
_MASK2FORMER = ("mask2former", "mask2former.modeling", "mask2former.evaluation")
#: Comes last, and completes what is to be made ready.
_MASKFORMER = "mask2former.maskformer_model"


def register() -> None:
    """Make upstream ready (see `imrsf_d2.compat.upstream.prepare`) and register all that is ours. A second call does nothing.

    Raises:
        UpstreamError: if detectron2 or Mask2Former is not installed or does not work.
    """
    from imrsf_d2.compat.upstream import prepare

    prepare()
    for package in OURS:
        _import_ours(package)


def register_with_detectron2() -> None:
    """Register all that is ours as soon as Detectron2 is imported, or now if it is. A second call does nothing."""
    if not any(isinstance(finder, _AfterDetectron2) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterDetectron2())
    for package in OURS:
        if package in sys.modules:
            _import_ours(package)


def _import_ours(package: str) -> None:
    for module in OURS[package]:
        importlib.import_module(module)


class _AfterDetectron2:
    """Finds Detectron2's packages as the other finders do, and has our modules imported after them.

    Mask2Former's packages, too: what their import needs and this machine may lack is there before (see `imrsf_d2.compat.upstream`).
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in OURS and fullname not in (*_MASK2FORMER, _MASKFORMER):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                if fullname in _MASK2FORMER:
                    from imrsf_d2.compat.upstream import importable_mask2former

                    with importable_mask2former():
                        load(module)
                    return
                load(module)
                if fullname == _MASKFORMER:
                    from imrsf_d2.compat.upstream import prepare

                    prepare()
                    return
                _import_ours(fullname)

            # Of this one spec: the loader keeps its type, which tools ask for sources and resources.
            setattr(spec.loader, "exec_module", load_and_register)  # noqa: B010
        return spec
