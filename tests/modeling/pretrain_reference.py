"""A naive float64 reference of the pre-training losses (eqs. 5-7): loops, no code of the package, parameters by name."""

import math

import torch
import torch.nn.functional as F

from tests.modeling import reference

HEADS = {"encoder": 2, "decoder": 2}


def plain_block(tokens, parameters, block, heads):
    """A pre-norm Transformer block under the names of torch.nn.TransformerEncoderLayer."""
    renamed = {
        f"{block}.attn.qkv.weight": parameters[f"{block}.self_attn.in_proj_weight"],
        f"{block}.attn.qkv.bias": parameters[f"{block}.self_attn.in_proj_bias"],
        f"{block}.attn.proj.weight": parameters[f"{block}.self_attn.out_proj.weight"],
        f"{block}.attn.proj.bias": parameters[f"{block}.self_attn.out_proj.bias"],
    }
    everything = torch.ones(len(tokens), len(tokens), dtype=torch.bool)
    tokens = tokens + reference.attention(
        reference.norm(tokens, parameters, f"{block}.norm1"), everything, renamed, block, heads
    )
    hidden = linear(reference.norm(tokens, parameters, f"{block}.norm2"), parameters, f"{block}.linear1")
    return tokens + linear(F.gelu(hidden), parameters, f"{block}.linear2")


def linear(tokens, parameters, name):
    return tokens @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]


def under(parameters, prefix):
    return {name[len(prefix) :]: value for name, value in parameters.items() if name.startswith(prefix)}


def encode(image, visible, modalities, parameters, *, patch, depth, heads, **ablation):
    """Fusion tokens [N, D] and streams {position: vector} of one sample of which only `visible` [M, N] is seen."""
    seen = image.clone()
    num_bands = sum(m.channels for m in modalities)
    columns = image.shape[2] // patch
    for m in range(len(modalities)):
        for n in range(visible.shape[1]):
            if not visible[m, n]:
                top, left = n // columns * patch, n % columns * patch
                seen[num_bands + m, top : top + patch, left : left + patch] = 0.0
    layers, streams, _, present = reference.encode_sample(
        seen, modalities, under(parameters, "backbone."), patch=patch, depth=depth, heads=heads, **ablation
    )
    assert torch.equal(present, visible)
    return layers[-1], streams


def read_by_cross_attention(fusion, streams, parameters, heads):
    """What decoders read of a sample after a cross-attention of their own, [N, D]."""
    tokens = torch.stack([vector for stream in streams for vector in stream.values()] + list(fusion))
    normed, everything = (
        reference.norm(tokens, parameters, "reader.block.norm1"),
        torch.ones(len(tokens), len(tokens)).bool(),
    )
    mixed = reference.attention(normed, everything, parameters, "reader.block", heads)[-len(fusion) :]
    fusion = fusion + mixed
    hidden = linear(reference.norm(fusion, parameters, "reader.block.norm2"), parameters, "reader.block.mlp.fc1")
    fusion = fusion + linear(F.gelu(hidden), parameters, "reader.block.mlp.fc2")
    return reference.norm(fusion, parameters, "reader.norm")


def reconstruction_losses(images, hidden, fusions, modalities, kinds, parameters, patch, depth, normalize=False):
    """Eq. 5 of each modality: the mean over the valid pixels and bands of all hidden patches of the batch."""
    num_bands = sum(m.channels for m in modalities)
    losses, start = {}, 0
    for m, modality in enumerate(modalities):
        errors, decoder = [], f"decoders.{modality.name}"
        for image, of_sample, fusion in zip(images, hidden, fusions):
            tokens = linear(fusion, parameters, f"{decoder}.proj") + parameters[f"{decoder}.modality_embed"]
            for i in range(depth):
                tokens = plain_block(tokens, parameters, f"{decoder}.blocks.{i}", HEADS["decoder"])
            pixels = linear(reference.norm(tokens, parameters, f"{decoder}.norm"), parameters, f"{decoder}.head")
            columns = image.shape[2] // patch
            for n in range(of_sample.shape[1]):
                if not of_sample[m, n]:
                    continue
                window = (
                    slice(n // columns * patch, n // columns * patch + patch),
                    slice(n % columns * patch, n % columns * patch + patch),
                )
                target = image[start : start + modality.channels][(slice(None), *window)]
                valid = image[num_bands + m][window] > 0.5
                predicted = pixels[n].view(-1, patch, patch)
                if normalize and not modality.classes:
                    values = target[:, valid]
                    target = (target - values.mean()) / max(values.std(unbiased=False).item(), 1e-3)
                of_pixels, truth = predicted[:, valid], target[:, valid]  # [values, pixels]
                if kinds[modality.name] == "ce":
                    scores = of_pixels.log_softmax(0)
                    errors += [-scores[int(label), i] for i, label in enumerate(truth[0])]
                else:
                    errors += ((of_pixels - truth).abs() ** {"mse": 2, "l1": 1}[kinds[modality.name]]).flatten()
        losses[modality.name] = torch.stack(errors).mean() if errors else torch.zeros(()).double()
        start += modality.channels
    return losses


def comparison_vectors(fusion, streams, parameters, heads):
    """One vector of each modality (None without a token) and of the fusion, of one sample."""
    dim = fusion.shape[1]
    everything = [vector for stream in streams for vector in stream.values()] + list(fusion)
    sources = [list(stream.values()) for stream in streams] + [everything]
    vectors = []
    for i, source in enumerate(sources):
        if not source:
            vectors.append(None)
            continue
        token = parameters["contrastive.class_tokens"][i]
        query = linear(token, parameters, "contrastive.query")
        keys, values = linear(torch.stack(source), parameters, "contrastive.key_value").split(dim, dim=1)
        mixed = []
        for h in range(heads):
            at = slice(h * dim // heads, (h + 1) * dim // heads)
            mixed.append((keys[:, at] @ query[at] / math.sqrt(dim // heads)).softmax(0) @ values[:, at])
        token = token + linear(torch.cat(mixed), parameters, "contrastive.proj")
        token = reference.norm(token[None], parameters, "contrastive.norm")[0]
        vectors.append(linear(token, parameters, f"contrastive.to_comparison.{i}"))
    return vectors


def info_nce(samples, temperature):
    """Eq. 6 over samples' `comparison_vectors`, term by term."""

    def similarity(a, b):
        return torch.exp(a @ b / (a.norm() * b.norm()) / temperature)

    total = torch.zeros(()).double()
    for m in range(len(samples[0]) - 1):
        having = [sample for sample in samples if sample[m] is not None]
        terms = []
        for sample in having:
            positive = similarity(sample[m], sample[-1])
            to_fusion = positive / sum(similarity(sample[m], other[-1]) for other in samples)
            to_modality = positive / sum(similarity(other[m], sample[-1]) for other in having)
            terms.append(-(to_fusion.log() + to_modality.log()) / 2)
        if terms:
            total = total + torch.stack(terms).mean()
    return total
