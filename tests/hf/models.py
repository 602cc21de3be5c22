"""A Mask2Former of transformers small enough to train for a few iterations in a test, and samples for it."""

import torch
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

from imrsf_d2 import Modality
from imrsf_d2.hf import ImrsfConfig

S2 = Modality("s2", channels=4, mean=(1.0, 2.0, 3.0, 4.0), std=(2.0,) * 4)
COVER = Modality("cover", codes={10: 0, 20: 1, 0: None})
SIZES = {
    "feature_size": 32,
    "mask_feature_size": 32,
    "hidden_dim": 32,
    "encoder_feedforward_dim": 64,
    "encoder_layers": 1,
    "decoder_layers": 3,
    "num_attention_heads": 2,
    "dim_feedforward": 32,
    "num_queries": 5,
    "num_labels": 2,
    "train_num_points": 64,
}


def tiny_config(modalities=(S2, COVER), **arguments):
    return ImrsfConfig(modalities, **{"embed_dim": 32, "depth": 4, "num_heads": 2} | arguments)


def tiny_mask2former(config):
    return Mask2FormerForUniversalSegmentation(Mask2FormerConfig(backbone_config=config, **SIZES))


def nan_samples():
    """A sample with a strip of one sensor missing, and one of another size without the other sensor and without objects."""
    halves, image = torch.zeros(2, 70, 50), torch.rand(5, 70, 50)
    halves[0, :30] = halves[1, 30:] = 1
    image[:4, :40], image[4] = float("nan"), 1
    empty = {"mask_labels": torch.zeros(0, 64, 64), "class_labels": torch.zeros(0, dtype=torch.int64)}
    without = torch.rand(5, 64, 64)
    without[4] = float("nan")
    return [{"image": image, "mask_labels": halves, "class_labels": torch.tensor([0, 1])}, {"image": without, **empty}]
