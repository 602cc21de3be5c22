"""Small ViTs as other projects build and name them, with random weights, and what each computes from an image."""

from functools import partial
from types import SimpleNamespace

import timm.models.vision_transformer as timm_vit
import torch
import torch.nn.functional as F
import torchvision.models.vision_transformer as torchvision_vit
from torch import nn

from tests.modeling.reference import positions

PATCH, DIM, DEPTH, HEADS, HIDDEN, GRID = 4, 32, 2, 4, 128, 3
CLASSES = 5


def shake(model, amount=0.1):
    """Make every parameter differ from 0 and 1, so that none can be missed or exchanged unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(amount * torch.randn_like(parameter))
    return model.eval()


def column_first(grid=GRID, dim=DIM):
    """[grid * grid, dim], MAE's embedding: the first half of the channels is of the column."""
    return positions(grid, grid, dim).float()


def row_first(grid=GRID, dim=DIM):
    """[1, dim, grid, grid], MultiMAE's (and MoCo's): the first half of the channels is of the row."""
    return torch.cat(column_first(grid, dim).split(dim // 2, dim=1)[::-1], dim=1).T.view(1, dim, grid, grid)


def of_timm(**arguments):
    arguments = (
        dict(img_size=PATCH * GRID, patch_size=PATCH, embed_dim=DIM, depth=DEPTH, num_heads=HEADS, num_classes=7) | arguments
    )
    model = shake(timm_vit.VisionTransformer(**arguments))
    return SimpleNamespace(
        source="timm",
        weights=model.state_dict(),
        norm=model.norm,
        tokens=lambda image, place: model.blocks(model.patch_embed(image) + place),
    )


def of_mae():
    """Facebook's pre-training: timm's blocks, sine-cosine positions, and a decoder."""
    model = of_timm(num_classes=0)
    decoder = timm_vit.VisionTransformer(embed_dim=16, depth=1, num_heads=2, num_classes=0).state_dict()
    model.weights["pos_embed"] = F.pad(column_first(), (0, 0, 1, 0))[None]
    model.weights |= {f"decoder_{name}": decoder[name] for name in decoder if name.startswith(("blocks", "norm"))}
    model.weights |= {
        "mask_token": torch.randn(1, 1, 16),
        "decoder_embed.weight": torch.randn(16, DIM),
        "decoder_embed.bias": torch.randn(16),
        "decoder_pos_embed": torch.randn(1, GRID**2 + 1, 16),
        "decoder_pred.weight": torch.randn(48, 16),
        "decoder_pred.bias": torch.randn(48),
    }
    model.source = "mae"
    return model


class MultiMAE(nn.Module):
    """MultiMAE's names around timm's blocks."""

    def __init__(
        self, dim=DIM, depth=DEPTH, heads=HEADS, patch=PATCH, grid=GRID, classes=CLASSES, class_patch=PATCH, amount=0.1
    ):
        super().__init__()
        self.input_adapters = nn.ModuleDict()
        for name, bands, size in (("rgb", 3, patch), ("depth", 1, patch), ("semseg", 64, class_patch)):
            adapter = self.input_adapters[name] = nn.Module()
            adapter.proj = nn.Conv2d(bands, dim, size, size)
        self.input_adapters["semseg"].class_emb = nn.Embedding(classes, 64)
        self.global_tokens = nn.Parameter(torch.zeros(1, 1, dim))
        norm = partial(nn.LayerNorm, eps=1e-6)
        blocks = (timm_vit.Block(dim, heads, qkv_bias=True, norm_layer=norm) for _ in range(depth))
        self.encoder = nn.Sequential(*blocks)
        self.output_adapters = nn.ModuleDict({"rgb": nn.Linear(dim, 4)})
        shake(self, amount)
        for adapter in self.input_adapters.values():
            adapter.pos_emb = nn.Parameter(row_first(grid, dim), requires_grad=False)

    def tokens(self, name, image):
        adapter = self.input_adapters[name]
        if name == "semseg":
            image = adapter.class_emb(image[:, 0].long()).permute(0, 3, 1, 2)
        return self.encoder((adapter.proj(image) + adapter.pos_emb).flatten(2).transpose(1, 2))


def of_torchvision(older_names=False):
    model = shake(torchvision_vit.VisionTransformer(PATCH * GRID, PATCH, DEPTH, HEADS, DIM, HIDDEN, num_classes=7))
    weights = model.state_dict()
    if older_names:
        weights = {
            name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
            for name, value in weights.items()
        }

    def tokens(image, place):
        return model.encoder.layers(model.conv_proj(image).flatten(2).transpose(1, 2) + place)

    return SimpleNamespace(source="vit", weights=weights, norm=model.encoder.ln, tokens=tokens)


def of_hugging_face(prefix="", newer_names=False):
    """Transformers is not installed: its formula written out, on random weights under its names."""
    attention = [
        f"attention.{n}_proj" if newer_names else f"attention.attention.{n}"
        for n in ("qkv" if newer_names else ("query", "key", "value"))
    ]
    out, first, second = (
        ("attention.o_proj", "mlp.fc1", "mlp.fc2")
        if newer_names
        else ("attention.output.dense", "intermediate.dense", "output.dense")
    )
    blocks = [f"{prefix}{'layers' if newer_names else 'encoder.layer'}.{i}." for i in range(DEPTH)]
    projection = f"{prefix}embeddings.patch_embeddings.projection"
    shapes = {projection: (DIM, 3, PATCH, PATCH), f"{prefix}layernorm": (DIM,), f"{prefix}pooler.dense": (DIM, DIM)}
    for block in blocks:
        shapes |= {f"{block}{name}": (DIM, DIM) for name in (*attention, out)}
        shapes |= {block + first: (HIDDEN, DIM), block + second: (DIM, HIDDEN)}
        shapes |= {f"{block}layernorm_{where}": (DIM,) for where in ("before", "after")}
    weights = {
        f"{prefix}embeddings.cls_token": torch.randn(1, 1, DIM),
        f"{prefix}embeddings.position_embeddings": torch.randn(1, GRID**2 + 1, DIM),
    }
    for name, shape in shapes.items():
        weights |= {f"{name}.weight": 0.2 * torch.randn(shape), f"{name}.bias": 0.2 * torch.randn(shape[0])}
    if prefix:
        weights |= {"classifier.weight": torch.randn(7, DIM), "classifier.bias": torch.randn(7)}

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def tokens(image, place):
        x = F.conv2d(image, weights[f"{projection}.weight"], weights[f"{projection}.bias"], stride=PATCH)
        x = x.flatten(2).transpose(1, 2) + place
        for block in blocks:
            y = norm(x, f"{block}layernorm_before")
            q, k, v = (linear(y, block + name).unflatten(-1, (HEADS, -1)).transpose(1, 2) for name in attention)
            mixed = (q @ k.transpose(2, 3) / (DIM // HEADS) ** 0.5).softmax(-1) @ v
            x = x + linear(mixed.transpose(1, 2).flatten(2), block + out)
            hidden = linear(norm(x, f"{block}layernorm_after"), block + first)
            x = x + linear(hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)), block + second)
        return x

    return SimpleNamespace(source="vit", weights=weights, tokens=tokens, norm=lambda x: norm(x, f"{prefix}layernorm"))


SOURCES = {
    "timm": of_timm,
    "timm, four registers": lambda: of_timm(reg_tokens=4),
    "mae": of_mae,
    "torchvision": of_torchvision,
    "torchvision, older names": lambda: of_torchvision(older_names=True),
    "Hugging Face": of_hugging_face,
    "Hugging Face, with a head": lambda: of_hugging_face("vit."),
    "Hugging Face, transformers 5": lambda: of_hugging_face(newer_names=True),
    "Hugging Face, transformers 5, with a head": lambda: of_hugging_face("vit.", newer_names=True),
}
