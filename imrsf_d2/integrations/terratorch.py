"""The backbone in TerraTorch's registry: importing this module makes it known there as `imrsf_vit`.

from terratorch.models import EncoderDecoderFactory

EncoderDecoderFactory().build_model(
    "segmentation", backbone="imrsf_vit", backbone_kwargs={"modalities": [...]}, decoder="UperNetDecoder", num_classes=2
)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from imrsf_d2.integrations.feature_maps import FeatureMaps
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import UpstreamError

try:
    from terratorch.registry import TERRATORCH_BACKBONE_REGISTRY
except ImportError as error:
    raise UpstreamError("imrsf_d2.integrations.terratorch needs TerraTorch: pip install 'imrsf_d2[terratorch]'.") from error

__all__ = ["imrsf_vit"]


@TERRATORCH_BACKBONE_REGISTRY.register
def imrsf_vit(modalities: Iterable[Modality | Mapping], **arguments) -> FeatureMaps:
    """A backbone of TerraTorch: its maps go to a decoder without a neck.

    Args:
        modalities, arguments: see `IncompleteMultimodalViT`; modalities of a YAML file are entries of MODEL.IMRSF.MODALITIES.

    Raises:
        ValueError: if an argument is out of range; the message names it.
    """
    return FeatureMaps(modalities, **arguments)
