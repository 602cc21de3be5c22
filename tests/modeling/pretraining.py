"""A small pre-training model and its samples."""

import numpy as np
import torch

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.contrastive import Contrastive
from imrsf_d2.modeling.decoders import FusionReader, ModalityDecoder
from imrsf_d2.modeling.encoder import IncompleteMultimodalEncoder
from imrsf_d2.modeling.pretrain import IncompleteMultimodalMAE
from imrsf_d2.modeling.reconstruction import read_reconstructions
from imrsf_d2.modeling.token_masks import draw_visible
from tests.modeling import pretrain_reference as naive
from tests.modeling.conftest import MODALITIES, SHAPE, SUBSETS, make_images

NAMES = tuple(m.name for m in MODALITIES)
KINDS = {"sar": "l1", "rgb": "mse", "landuse": "ce"}
WEIGHTS = {"sar": 0.5, "rgb": 2.0, "landuse": 1.0}
#: Fewer visible patches than one sensor has, so that single sensors hide some too.
VISIBLE, TEMPERATURE, DECODER_DEPTH = 3, 0.2, 2
#: Every subset at once, some twice.
BATCH = SUBSETS + SUBSETS[-2:]


def build_pretraining(contrastive=True, normalize=False, dtype=torch.float64, cross_attention=False, **encoder):
    torch.manual_seed(3)
    arguments = {
        "modalities": MODALITIES,
        "patch_size": SHAPE["patch"],
        "embed_dim": 16,
        "depth": SHAPE["depth"],
        "num_heads": SHAPE["heads"],
    }
    judged = read_reconstructions(
        [{"NAME": n, "LOSS": KINDS[n], "WEIGHT": WEIGHTS[n]} for n in NAMES], ModalitySet(MODALITIES)
    )
    model = IncompleteMultimodalMAE(
        backbone=IncompleteMultimodalEncoder(**arguments | encoder),
        decoders={
            m.name: ModalityDecoder(m, SHAPE["patch"], 16, 8, DECODER_DEPTH, naive.HEADS["decoder"]) for m in MODALITIES
        },
        reader=FusionReader(16, SHAPE["heads"], 2.0) if cross_attention else None,
        contrastive=Contrastive(len(NAMES), 16, SHAPE["heads"], 8, TEMPERATURE) if contrastive else None,
        contrastive_weight=0.3,
        reconstructions=judged,
        visible_tokens=VISIBLE,
        alpha=1.0,
        normalize_patches=normalize,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.to(dtype)


def make_samples(subsets, coverage="full", dtype=torch.float64):
    return [{"image": image.to(dtype), "mask_seed": 10 + b} for b, image in enumerate(make_images(subsets, coverage))]


def masks_of(model, samples):
    """present and visible [M, N] of each sample, as the model must draw them."""
    present = [model.backbone.read(sample["image"][None]).present[0] for sample in samples]
    visible = [
        torch.from_numpy(draw_visible(p.numpy(), VISIBLE, 1.0, np.random.default_rng(sample["mask_seed"])))
        for p, sample in zip(present, samples)
    ]
    return present, visible


def losses_and_gradients(model, samples):
    losses = model(samples)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    return losses, {name: parameter.grad for name, parameter in model.named_parameters()}
