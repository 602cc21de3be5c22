"""How far an exported graph is from the model that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from imrsf_d2.export.examples import Inputs
from imrsf_d2.export.outputs import predictions
from imrsf_d2.export.segmenter import FixedSegmenter
from imrsf_d2.modeling import IncompleteMultimodalViT
from imrsf_d2.modeling.fixed_backbone import FixedBackbone
from imrsf_d2.utils.errors import percent

__all__ = ["Difference", "expected_outputs", "worst_differences"]

#: Computes a graph's outputs, by name.
Graph = Callable[[Inputs], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Difference:
    """The worst difference of an output over several images.

    Args:
        absolute: largest difference of two numbers; of masks and classes, the largest share of numbers that differ.
        largest: the largest number of the model itself, by size.
        continuous: False for masks and classes.
    """

    absolute: float
    largest: float
    continuous: bool

    def __str__(self) -> str:
        if not self.continuous:
            return f"{percent(self.absolute)} of its values differ"
        return f"{self.absolute:.1e}, {self.absolute / max(self.largest, 1e-30):.1e} of the largest value"


def expected_outputs(
    model: Any, vit: IncompleteMultimodalViT, graph: FixedBackbone | FixedSegmenter, inputs: Inputs
) -> dict[str, Tensor]:
    """What the model itself computes, the way it does in evaluation: with the layout read off the data, and its own attention op.

    Args:
        model: the MaskFormer; only looked at if the graph is of a whole model.
        vit: its backbone.
        graph: in which the outputs are also computed.
        inputs: of the graph.
    """
    backbone = graph.backbone if isinstance(graph, FixedSegmenter) else graph
    sensors, validity = inputs
    shape = 1, len(vit.modalities), *backbone.size
    mean, std = (torch.tensor(values)[:, None, None] for values in (vit.modalities.pixel_mean, vit.modalities.pixel_std))
    given = torch.zeros(shape)
    for m, name in enumerate(backbone.modalities.names):
        given[:, vit.modalities.index_of(name)] = 1.0 if validity is None else validity[:, m]
    bands = [sensors.get(m.name, torch.zeros(1, m.channels, *backbone.size)) for m in vit.modalities]
    image = (torch.cat([*bands, given], dim=1) - mean) / std
    with torch.no_grad():
        features = vit(image)
        if not isinstance(graph, FixedSegmenter):
            return features
        raw = model.sem_seg_head(features)
        classes, masks = raw["pred_logits"], raw["pred_masks"]
        if graph.outputs == "raw":
            return {"pred_logits": classes, "pred_masks": masks}
        masks = F.interpolate(masks, size=graph.size, mode="bilinear", align_corners=False)[0]
        return predictions(graph.outputs, classes[0], masks, graph.max_detections)


def worst_differences(graph: Graph, expected: Graph, cases: Iterable[Inputs]) -> dict[str, Difference]:
    """Compare over several images.

    Args:
        graph: the exported graph.
        expected: the model itself.
        cases: the images.

    Returns:
        The worst difference of each output.
    """
    worst: dict[str, Difference] = {}
    for inputs in cases:
        found, wanted = graph(inputs), expected(inputs)
        for name, values in wanted.items():
            continuous = values.is_floating_point()
            apart = (found[name].double() - values.double()).abs()
            of_case = float(apart.max() if continuous else (apart > 0).double().mean())
            before = worst.get(name, Difference(0.0, 0.0, continuous))
            largest = max(before.largest, float(values.double().abs().max()))
            absolute = float(torch.tensor([before.absolute, of_case], dtype=torch.float64).max())  # also if one is NaN
            worst[name] = Difference(absolute, largest, continuous)
    return worst
