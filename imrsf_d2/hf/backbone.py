"""The backbone as transformers knows it: built from a configuration, with named feature maps, saved and loaded."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from transformers import AutoBackbone, PreTrainedModel
from transformers.backbone_utils import BackboneMixin
from transformers.modeling_outputs import BackboneOutput

from imrsf_d2.hf.configuration import ImrsfConfig
from imrsf_d2.modeling.vit import IncompleteMultimodalViT

__all__ = ["ImrsfViTBackbone"]

#: How transformers marks a parameter that has its value.
_INITIALIZED = "_is_hf_initialized"


class ImrsfViTBackbone(BackboneMixin, PreTrainedModel):
    """`IncompleteMultimodalViT`, which is its only child `vit`, with the interface of a backbone of transformers.

    Args:
        config: its configuration.

    Raises:
        ValueError: if the configuration has no modalities or an argument is out of range; the message names it.
    """

    config_class = ImrsfConfig
    base_model_prefix = "vit"
    main_input_name = "pixel_values"
    has_attentions = False

    def __init__(self, config: ImrsfConfig):
        super().__init__(config)
        self.vit = IncompleteMultimodalViT(**config.backbone_arguments)
        self.num_features = [config.embed_dim] * len(config.stage_names)
        for parameter in self.vit.parameters():
            # It comes initialized, but where memory is only promised, to be filled from a file.
            setattr(parameter, _INITIALIZED, not parameter.is_meta)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Give the parameters that a file lacks (those of a new sensor, say) the values of a new backbone, all at once.

        transformers calls this for every module that has such parameters, and not for the others.
        """
        missing = {
            name: parameter for name, parameter in self.vit.named_parameters() if not getattr(parameter, _INITIALIZED, False)
        }
        if missing:
            new = IncompleteMultimodalViT(**self.config.backbone_arguments)
            for name, parameter in missing.items():
                parameter.data.copy_(new.get_parameter(name).data)
                setattr(parameter, _INITIALIZED, True)

    def forward(
        self, pixel_values: Tensor | Mapping[str, Tensor | None], return_dict: bool | None = None, **others
    ) -> BackboneOutput | tuple:
        """Feature maps of a batch.

        Args:
            pixel_values: normalized [B, C + M, H, W] with validity channels, or [B, C, H, W] with NaN where missing; H and W
                divisible by the patch size. `SampleCollator` makes it. Or the sensors by name, not normalized.
            return_dict: False for a tuple.
            others: of other backbones (`output_hidden_states`, `output_attentions`); nothing more is output.

        Returns:
            feature_maps: [B, D, ceil(H / stride), ceil(W / stride)] for each of `out_features`.

        Raises:
            ValueError: if the channels fit neither layout, or H, W are not divisible by the patch size.
        """
        maps = tuple(self.vit(pixel_values).values())
        return (maps,) if return_dict is False else BackboneOutput(feature_maps=maps)


AutoBackbone.register(ImrsfConfig, ImrsfViTBackbone, exist_ok=True)
