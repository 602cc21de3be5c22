"""A naive float64 reference of the encoder: loops over samples and positions, an explicit N x N mask.

Written from the paper's equations and sharing no code with the package; it reads a model's parameters by name only.
Patches that a sample lacks are physically removed, so agreement also shows that absent tokens are never used.
"""

import math

import torch
import torch.nn.functional as F


def positions(rows, columns, dim):
    table = torch.zeros(rows * columns, dim, dtype=torch.float64)
    quarter = dim // 4
    for row in range(rows):
        for column in range(columns):
            for i in range(quarter):
                frequency = 1.0 / 10000 ** (i / quarter)
                values = (
                    math.sin(column * frequency),
                    math.cos(column * frequency),
                    math.sin(row * frequency),
                    math.cos(row * frequency),
                )
                for block, value in enumerate(values):
                    table[row * columns + column, block * quarter + i] = value
    return table


def lstm_direction(sequence, parameters, suffix):
    """Textbook LSTM over a list of vectors; gate order input, forget, cell, output."""
    size = parameters[f"bilstm.lstm.weight_hh_l0{suffix}"].shape[1]
    hidden, cell, states = torch.zeros(size).double(), torch.zeros(size).double(), []
    for vector in sequence:
        gates = (
            parameters[f"bilstm.lstm.weight_ih_l0{suffix}"] @ vector
            + parameters[f"bilstm.lstm.bias_ih_l0{suffix}"]
            + parameters[f"bilstm.lstm.weight_hh_l0{suffix}"] @ hidden
            + parameters[f"bilstm.lstm.bias_hh_l0{suffix}"]
        )
        i, f, g, o = gates.chunk(4)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        states.append(hidden)
    return states


def bilstm_attention(vectors, fusion, parameters):
    """Eqs. 2-3 at one position. Returns the new fusion token and beta, one number per modality."""
    if not vectors:
        return fusion, []
    sequence = vectors + [fusion]
    forward = lstm_direction(sequence, parameters, "")
    backward = lstm_direction(sequence[::-1], parameters, "_reverse")[::-1]
    states = [torch.cat(pair) for pair in zip(forward, backward)]
    scores = [
        parameters["bilstm.score.weight"][0]
        @ torch.tanh(parameters["bilstm.attn.weight"] @ torch.cat([states[-1], state]) + parameters["bilstm.attn.bias"])
        for state in states[:-1]
    ]
    beta = torch.stack(scores).softmax(0)
    return sum(b * h for b, h in zip(beta, states[:-1])), list(beta)


def embed(name, bands, valid, classes, patch, parameters):
    """[Hp * Wp, D] tokens of one modality of one sample, patch by patch."""
    if classes:
        table = parameters[f"patch_embed.{name}.class_embed.weight"]
        bands = torch.stack(
            [table[int(c)] if ok else torch.zeros_like(table[0]) for c, ok in zip(bands[0].flatten(), valid.flatten())], 1
        ).view(-1, *valid.shape)
    weight, bias = parameters[f"patch_embed.{name}.proj.weight"], parameters[f"patch_embed.{name}.proj.bias"]
    tokens = []
    for top in range(0, valid.shape[0], patch):
        for left in range(0, valid.shape[1], patch):
            window = bands[:, top : top + patch, left : left + patch]
            tokens.append((weight * window).sum((1, 2, 3)) + bias)
    return torch.stack(tokens)


def attention(tokens, mask, parameters, block, heads):
    """Eq. 4 with an explicit mask: mask[i, j] is True where query i may see key j."""
    dim = tokens.shape[1]
    q, k, v = (parameters[f"{block}.attn.qkv.weight"] @ tokens.T + parameters[f"{block}.attn.qkv.bias"][:, None]).T.split(
        dim, dim=1
    )
    heads_out = []
    for h in range(heads):
        at = slice(h * dim // heads, (h + 1) * dim // heads)
        logits = q[:, at] @ k[:, at].T / math.sqrt(dim // heads)
        heads_out.append(torch.where(mask, logits, -math.inf).softmax(1) @ v[:, at])
    return torch.cat(heads_out, 1) @ parameters[f"{block}.attn.proj.weight"].T + parameters[f"{block}.attn.proj.bias"]


def norm(tokens, parameters, name):
    return F.layer_norm(tokens, tokens.shape[1:], parameters[f"{name}.weight"], parameters[f"{name}.bias"], 1e-6)


def gather_at(how, vectors, fusion, position, parameters):
    """The fusion token of one position and the weights of its modalities, from the tokens of those that are there."""
    if not vectors or how == "none":
        return fusion, [torch.zeros(()).double()] * len(vectors)
    if how == "bilstm":
        return bilstm_attention(vectors, fusion, parameters)
    token, weights = fusion, [torch.ones(()).double() / len(vectors)] * len(vectors)
    for vector in vectors:
        token = token + (vector - position) / len(vectors)
    if how == "mean_bilstm":
        correction, weights = bilstm_attention(vectors, fusion, parameters)
        token = token + correction
    return token, weights


def encode_sample(
    image, modalities, parameters, *, patch, depth, heads, masked=None, gather="bilstm", readout="fusion", min_valid=0.5
):
    """Encode one sample [C + M, H, W] (validity channels last).

    Args:
        masked: how many of the first blocks have the mask; None for all.

    Returns:
        Per block what is read out [N, D]; per modality its stream after the last block as {position: vector}; beta
        [M, N]; present [M, N].
    """
    num_bands = sum(m.channels for m in modalities)
    height, width = image.shape[1:]
    rows, columns = height // patch, width // patch
    dim = parameters["fusion_tokens"].shape[1]
    place = positions(rows, columns, dim)
    streams, start = [], 0
    for m, modality in enumerate(modalities):
        bands = image[start : start + modality.channels]
        start += modality.channels
        valid = (image[num_bands + m] > 0.5) & bands.isfinite().all(0)
        bands = torch.where(valid, bands, 0.0)
        tokens = embed(modality.name, bands, valid, modality.classes, patch, parameters) + place
        windows = [
            valid[r * patch : (r + 1) * patch, c * patch : (c + 1) * patch] for r in range(rows) for c in range(columns)
        ]
        streams.append({n: tokens[n] for n, window in enumerate(windows) if window.double().mean() >= min_valid})
    learned = F.interpolate(parameters["fusion_tokens"], size=(rows, columns), mode="bicubic", align_corners=False)
    fusion = list(learned[0].flatten(1).T + place)
    beta = torch.zeros(len(modalities), rows * columns, dtype=torch.float64)
    for n in range(rows * columns):
        here = [m for m, stream in enumerate(streams) if n in stream]
        fusion[n], weights = gather_at(gather, [streams[m][n] for m in here], fusion[n], place[n], parameters)
        for m, weight in zip(here, weights):
            beta[m, n] = weight.detach()
    own_tokens = [vector for stream in streams for vector in stream.values()]
    owner = [m for m, stream in enumerate(streams) for _ in stream]
    if readout == "fusion":
        own_tokens, owner = own_tokens + fusion, owner + [-1] * len(fusion)
    of_sensor = torch.tensor([[own == -1 or own == other for other in owner] for own in owner]).bool()
    tokens = torch.stack(own_tokens) if own_tokens else torch.zeros(0, dim).double()
    layers = []
    for i in range(depth):
        block = f"blocks.{i}"
        mask = of_sensor if masked is None or i < masked else torch.ones_like(of_sensor)
        tokens = tokens + attention(norm(tokens, parameters, f"{block}.norm1"), mask, parameters, block, heads)
        hidden = norm(tokens, parameters, f"{block}.norm2") @ parameters[f"{block}.mlp.fc1.weight"].T
        hidden = F.gelu(hidden + parameters[f"{block}.mlp.fc1.bias"])
        tokens = tokens + hidden @ parameters[f"{block}.mlp.fc2.weight"].T + parameters[f"{block}.mlp.fc2.bias"]
        if readout == "fusion":
            layers.append(tokens[-len(fusion) :])
            continue
        places = [n for stream in streams for n in stream]
        at = [[token for token, place_of in zip(tokens, places) if place_of == n] for n in range(rows * columns)]
        layers.append(torch.stack([sum(here) / len(here) if here else fusion[n] for n, here in enumerate(at)]))
    rest, out = iter(tokens), []
    for stream in streams:
        out.append({n: next(rest) for n in stream})
    present = torch.tensor([[n in stream for n in range(rows * columns)] for stream in streams])
    return layers, out, beta, present
