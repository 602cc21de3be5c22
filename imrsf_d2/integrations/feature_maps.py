"""The backbone as decoders of other libraries take it: feature maps in a list, and their channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from imrsf_d2.modalities import Modality
from imrsf_d2.modeling.intermediates import FeatureInfo
from imrsf_d2.modeling.sensor_batch import Validity
from imrsf_d2.modeling.vit import IncompleteMultimodalViT

__all__ = ["FeatureMaps"]


class FeatureMaps(nn.Module):
    """`IncompleteMultimodalViT`, which is its only child `vit`, with its maps in a list, finest first.

    Args:
        modalities, arguments: see `IncompleteMultimodalViT`.

    Attributes:
        feature_info: channels and strides of the maps, as timm's models have it that return features only.

    Raises:
        ValueError: if an argument is out of range; the message names it.
    """

    def __init__(self, modalities: Iterable[Modality | Mapping], **arguments):
        super().__init__()
        self.vit = IncompleteMultimodalViT(modalities=modalities, **arguments)
        shapes = sorted(self.vit.output_shape().items(), key=lambda entry: entry[1].stride)
        maps = [{"num_chs": s.channels, "reduction": s.stride, "module": f"vit.pyramid.{name}"} for name, s in shapes]
        self.feature_info = FeatureInfo(maps, range(len(maps)))
        self._names = [name for name, _ in shapes]

    @property
    def out_channels(self) -> list[int]:
        """The channels of each map."""
        return self.feature_info.channels()

    def forward(self, x: Tensor | Mapping[str, Tensor | None], valid: Validity | None = None, **others) -> list[Tensor]:
        """Feature maps of a batch.

        Args:
            x, valid: see `IncompleteMultimodalViT.forward`.
            others: what a library passes on to any backbone, such as the entries of a batch; not used.

        Returns:
            [B, D, ceil(H / stride), ceil(W / stride)] for each entry of `feature_info`.
        """
        maps = self.vit(x, valid)
        return [maps[name] for name in self._names]
