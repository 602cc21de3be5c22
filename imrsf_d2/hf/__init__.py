"""The backbone for Hugging Face transformers: `pip install imrsf_d2[hf]`. It needs neither detectron2 nor a compiled op.

Importing this package registers `ImrsfConfig` with AutoConfig and `ImrsfViTBackbone` with AutoBackbone, so that a model which
takes a `backbone_config`, such as Mask2FormerForUniversalSegmentation, takes ours and loads it again:

    from imrsf_d2.hf import ImrsfConfig

    Mask2FormerForUniversalSegmentation(Mask2FormerConfig(backbone_config=ImrsfConfig(modalities=[...])))

What evaluates such a model as ours is evaluated, `imrsf_d2.hf.sweep`, needs detectron2, whose data catalog and evaluators it
uses, and is therefore imported from there.
"""

from imrsf_d2.utils.errors import UpstreamError

try:
    import transformers  # noqa: F401
except ImportError as error:
    raise UpstreamError("imrsf_d2.hf needs Hugging Face transformers: pip install 'imrsf_d2[hf]'.") from error

from imrsf_d2.hf.backbone import ImrsfViTBackbone
from imrsf_d2.hf.collation import SampleCollator
from imrsf_d2.hf.configuration import ImrsfConfig
from imrsf_d2.hf.conversion import load_weights, mask2former_config, weights_of
from imrsf_d2.hf.segmenter import SampleSegmenter

__all__ = [
    "ImrsfConfig",
    "ImrsfViTBackbone",
    "SampleCollator",
    "SampleSegmenter",
    "load_weights",
    "mask2former_config",
    "weights_of",
]
