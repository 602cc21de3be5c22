import itertools

import pytest
import torch

from imrsf_d2.modeling import IncompleteMultimodalViT, Modality

MODALITIES = (Modality("sar", 1), Modality("rgb", 3), Modality("landuse", classes=5))
#: Every subset of the modalities, the empty one too.
SUBSETS = [subset for size in range(4) for subset in itertools.combinations(("sar", "rgb", "landuse"), size)]
SHAPE = {"patch": 8, "depth": 3, "heads": 2}
GRID = (2, 3)


def build(**changes):
    torch.manual_seed(7)
    arguments = (
        dict(
            modalities=MODALITIES,
            patch_size=SHAPE["patch"],
            embed_dim=16,
            depth=SHAPE["depth"],
            num_heads=SHAPE["heads"],
            out_layers=[0, 1, 1, 2],
        )
        | changes
    )
    model = IncompleteMultimodalViT(**arguments).double()
    with torch.no_grad():
        # Trained-like values: the zero biases and tiny tokens of a fresh model would hide mistakes.
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def make_images(subsets, coverage="full", size=(16, 24), seed=0):
    """[B, 5 + 3, H, W] float64, sample b holding subsets[b]; "partial" coverage blanks random patches and pixels."""
    generator = torch.Generator().manual_seed(seed)
    batch = len(subsets)
    bands = torch.randn(batch, 5, *size, generator=generator, dtype=torch.float64)
    bands[:, 4] = torch.randint(0, 5, (batch, *size), generator=generator).double()
    valid = torch.zeros(batch, 3, *size, dtype=torch.float64)
    for sample, subset in enumerate(subsets):
        for m, modality in enumerate(MODALITIES):
            if modality.name in subset:
                valid[sample, m] = 1.0
                if coverage == "partial":
                    rows, columns = (-(-side // 8) for side in size)
                    keep = torch.rand(rows, columns, generator=generator) < 0.6
                    keep[sample % rows, (sample + m) % columns] = True
                    keep[(sample + 1) % rows, (sample + m) % columns] = False
                    coarse = keep.repeat_interleave(8, 0).repeat_interleave(8, 1)[: size[0], : size[1]]
                    speckles = torch.rand(size, generator=generator) < 0.85
                    valid[sample, m] = (coarse & speckles).double()
    return torch.cat([bands, valid], dim=1)


@pytest.fixture(scope="session")
def encoder():
    return build()
