"""The backbone as an encoder of segmentation_models_pytorch.

register_encoder("sensors", modalities=[...], embed_dim=192, depth=4, num_heads=3)
model = smp.Unet("sensors", encoder_weights=None, classes=2)
logits = model({"s2": s2, "dem": None})
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from imrsf_d2.integrations.feature_maps import FeatureMaps
from imrsf_d2.modalities import Modality
from imrsf_d2.modeling.sensor_batch import Validity
from imrsf_d2.utils.errors import InputError, UpstreamError

try:
    from segmentation_models_pytorch.encoders import encoders
except ImportError as error:
    raise UpstreamError(
        "imrsf_d2.integrations.smp needs segmentation-models-pytorch: pip install 'imrsf_d2[smp]'."
    ) from error

__all__ = ["SensorEncoder", "register_encoder"]

#: What smp's models pass for `in_channels` where nobody says anything.
_UNSAID_CHANNELS = 3


class SensorEncoder(FeatureMaps):
    """An encoder of segmentation_models_pytorch: features at strides 1, 2, 4, ... up to 2^depth.

    A stride that the backbone has no map for has a feature without channels, as in smp's other transformers. Without
    `out_features`, these are 1 and 2.

    Args:
        modalities, arguments: see `IncompleteMultimodalViT`, whose number of blocks is called `blocks` here.
        blocks: of the encoder.
        depth, output_stride: smp's, which its models pass.

    Raises:
        ValueError: if an argument is out of range; the message names it.
    """

    def __init__(
        self,
        modalities: Iterable[Modality | Mapping],
        *,
        blocks: int = 12,
        depth: int = 5,
        output_stride: int = 32,
        **arguments,
    ):
        arguments.setdefault("out_features", [f"res{level}" for level in range(2, depth + 1)])
        super().__init__(modalities, depth=blocks, **arguments)
        strides = [2**level for level in range(depth + 1)]
        if not set(self.feature_info.reduction()) <= set(strides):
            raise InputError(f"out_features is {self._names}, expected some of res0..res{depth}: encoder_depth is {depth}.")
        self.output_stride = strides[-1]
        self._channels = dict(zip(self.feature_info.reduction(), self.feature_info.channels()))
        self._strides = strides

    @property
    def out_channels(self) -> list[int]:
        """The channels of each feature, 0 of those that are not there."""
        return [self._channels.get(stride, 0) for stride in self._strides]

    def forward(self, x: Tensor | Mapping[str, Tensor | None], valid: Validity | None = None, **others) -> list[Tensor]:
        """Features of a batch.

        Args:
            x, valid, others: see `FeatureMaps.forward`.

        Returns:
            [B, channels, ceil(H / stride), ceil(W / stride)] for strides 1, 2, 4, ...
        """
        image = self.vit.assemble(x, valid)
        maps = dict(zip(self.feature_info.reduction(), super().forward(image)))
        height, width = image.shape[2:]
        return [
            maps[stride] if stride in maps else image.new_empty(len(image), 0, -(-height // stride), -(-width // stride))
            for stride in self._strides
        ]

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:
        """Called by smp's models; the modalities say what comes in.

        Raises:
            ValueError: if another number of channels was asked for.
        """
        modalities = self.vit.modalities
        if in_channels not in (_UNSAID_CHANNELS, modalities.num_bands, modalities.num_channels):
            raise InputError(
                f"in_channels is {in_channels}, expected none, or {modalities.num_bands} or {modalities.num_channels} "
                f"(bands, or bands and validity) of {modalities}."
            )

    def make_dilated(self, output_stride: int) -> None:
        """Called by smp's models for strides below 32.

        Raises:
            ValueError: always; there is no convolution to dilate.
        """
        raise InputError(
            f"encoder_output_stride is {output_stride}, expected 32: there is no convolution to dilate. A smaller encoder_depth "
            "ends at a smaller stride."
        )


def register_encoder(name: str, modalities: Iterable[Modality | Mapping], **arguments) -> None:
    """Make the backbone known to smp's models by a name, for `encoder_name`; `encoder_weights` is to be None.

    Args:
        name: of no encoder of smp. One of ours is replaced.
        modalities, arguments: see `SensorEncoder`.

    Raises:
        ValueError: if smp has an encoder of that name.
    """
    if name in encoders and encoders[name]["encoder"] is not SensorEncoder:
        raise InputError(f"smp has an encoder {name!r} already, expected another name.")
    parameters = {"modalities": list(modalities), **arguments}
    encoders[name] = {"encoder": SensorEncoder, "pretrained_settings": {}, "params": parameters}
