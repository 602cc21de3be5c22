"""The backbone's configuration as transformers keeps it: in config.json, below `backbone_config` of a whole model."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence

from transformers import AutoConfig, PretrainedConfig
from transformers.backbone_utils import BackboneConfigMixin

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling.encoder import IncompleteMultimodalEncoder
from imrsf_d2.modeling.vit import IncompleteMultimodalViT
from imrsf_d2.utils.errors import InputError

__all__ = ["ImrsfConfig"]

#: Those arguments of the backbone that have a default, with it.
DEFAULTS = {
    name: parameter.default
    for model in (IncompleteMultimodalEncoder, IncompleteMultimodalViT)
    for name, parameter in inspect.signature(model).parameters.items()
    if parameter.default is not parameter.empty and name != "out_features"
}


class ImrsfConfig(BackboneConfigMixin, PretrainedConfig):
    """Configuration of `ImrsfViTBackbone`.

    Args:
        modalities: the sensors in order: `Modality` objects, or entries of `MODEL.IMRSF.MODALITIES` (mappings with upper-case
            keys, e.g. {"NAME": "s2", "CHANNELS": 4}). They are kept as such entries.
        out_features: names of the feature maps, of res2 (stride 4) to res5 (stride 32). Default: all four.
        out_indices: the same by position in `stage_names`.
        arguments: those of `IncompleteMultimodalViT` (embed_dim, depth, out_layers, ...) with the defaults that they have there,
            and those of any configuration of transformers.

    Raises:
        ValueError: if a modality is not one, or for `bilstm`, which `gather` has replaced; the message names the key.
    """

    model_type = "imrsf"
    attribute_map = {"hidden_size": "embed_dim", "num_hidden_layers": "depth", "num_attention_heads": "num_heads"}

    def __init__(
        self,
        modalities: Iterable[Modality | Mapping] = (),
        out_features: Sequence[str] | None = None,
        out_indices: Sequence[int] | None = None,
        **arguments,
    ):
        if "bilstm" in arguments:  # transformers would keep what it does not know, and the model would be another
            raise InputError(
                f"bilstm is {arguments['bilstm']}, which gather has replaced: expected gather 'bilstm' in place of True, "
                "'none' in place of False (of a saved model, in its config.json)."
            )
        arguments.pop("stage_names", None)  # of a file; they never differ
        own = {name: arguments.pop(name, default) for name, default in DEFAULTS.items()}
        super().__init__(**arguments)
        self.modalities = [
            (entry if isinstance(entry, Modality) else Modality.from_mapping(entry)).to_mapping() for entry in modalities
        ]
        for name, value in own.items():
            setattr(self, name, list(value) if isinstance(value, tuple) else value)
        self.stage_names = list(inspect.signature(IncompleteMultimodalViT).parameters["out_features"].default)
        if out_features is None and out_indices is None:
            out_features = self.stage_names
        self.set_output_features_output_indices(
            out_features=None if out_features is None else list(out_features),
            out_indices=None if out_indices is None else list(out_indices),
        )

    @property
    def modality_set(self) -> ModalitySet:
        """The modalities, with the channels of `pixel_values` that each one owns.

        Raises:
            ValueError: if there is none.
        """
        if not self.modalities:
            raise InputError("ImrsfConfig has no modalities, expected e.g. ImrsfConfig(modalities=[Modality('rgb', 3)]).")
        return ModalitySet(Modality.from_mapping(entry) for entry in self.modalities)

    @property
    def backbone_arguments(self) -> dict:
        """The arguments of `IncompleteMultimodalViT`."""
        arguments = {name: getattr(self, name) for name in DEFAULTS}
        return arguments | {"modalities": self.modality_set, "out_features": tuple(self.out_features)}


AutoConfig.register(ImrsfConfig.model_type, ImrsfConfig, exist_ok=True)
