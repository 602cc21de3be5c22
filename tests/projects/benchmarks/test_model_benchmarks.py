"""What the model's benchmarks compare is the same computation, and what they count is what runs.

No ratio of times is asserted: those are for tools/benchmark.py on a machine with nothing else to do.
"""

import json
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from imrsf_d2.modeling import IncompleteMultimodalViT
from imrsf_d2.modeling.linear import linear
from projects.benchmarks.backbone import draw_subsets
from projects.benchmarks.cases import QUICK
from projects.benchmarks.compilation import compile_per_token
from projects.benchmarks.dense import DenseMaskViT, dense_mask
from projects.benchmarks.flops import count_flops
from projects.benchmarks.matrix_rate import matrix_products
from projects.benchmarks.memory import STATUS, measure_here
from projects.benchmarks.mixed_precision import benchmark_gpu, benchmark_mixed_precision
from projects.benchmarks.suite import run_benchmark
from tests.largest_tensor import LargestTensor

SIZE = 64
MIXED = [("sar",), ("rgb", "dsm"), ("sar",), (), ("sar", "rgb", "dsm")]


def build_pair():
    """The structured model and the dense one with the same, trained-like weights."""
    model, dense = QUICK.build(), QUICK.build(DenseMaskViT)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    dense.load_state_dict(model.state_dict())
    return model, dense


@pytest.mark.parametrize("lacking", [0.0, 0.3], ids=["full", "partial"])
@pytest.mark.parametrize("subsets", [None, MIXED], ids=["complete", "mixed"])
def test_the_dense_mask_gives_what_the_structured_form_gives(subsets, lacking):
    model, dense = build_pair()
    images = QUICK.images(SIZE, subsets, lacking)
    ours, theirs = (m.encode(images, streams=True, layers=(0, 1)) for m in (model, dense))
    for a, b in [
        (ours.fusion, theirs.fusion),
        *zip(ours.layers, theirs.layers),
        (ours.importance, theirs.importance),
        *zip(ours.streams.values(), theirs.streams.values()),
    ]:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    every = QUICK.modalities.subsets()
    for a, b in zip(model.encode_subsets(images, every), dense.encode_subsets(images, every), strict=True):
        torch.testing.assert_close(a.fusion, b.fusion, rtol=1e-4, atol=1e-4)


def test_gradients_of_the_dense_mask_equal_those_of_the_structured_form():
    model, dense = build_pair()
    for m in (model, dense):
        m.encode(QUICK.images(SIZE, MIXED, 0.3)).fusion.square().mean().backward()
    for (name, a), b in zip(model.named_parameters(), dense.parameters()):
        if a.grad is not None and a.grad.any():
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4, msg=lambda text: f"{name}: {text}")


def test_the_mask_by_hand():
    present = torch.tensor([[[True, False], [True, True]]])  # two modalities, two patches, one of them missing
    rows = ["100000", "110000", "001100", "001100", "101111", "101111"]  # the missing token sees itself, nobody sees it
    assert dense_mask(present)[0].tolist() == [[digit == "1" for digit in row] for row in rows]


def block_flops(dim, streams, fusions, keys, patches):
    """A block by hand: 24 D^2 a token for its linear layers, 4 D for each query and key; the MLP is 4 D wide."""
    return 24 * dim * dim * patches * (streams + fusions) + 4 * dim * patches * patches * (streams + keys)


@pytest.mark.parametrize("subsets", [None, MIXED, [()]], ids=["complete", "mixed", "nothing"])
def test_counted_flops_of_a_block_follow_from_the_tokens_that_exist(subsets):
    model, images = QUICK.build(), QUICK.images(SIZE, subsets)
    present = [QUICK.modalities.names] * QUICK.batch_size if subsets is None else subsets
    streams = sum(map(len, present))
    counts = []
    for blocks in (model.blocks, model.blocks[:1]):
        model.blocks = blocks
        counts.append(count_flops(lambda: model.encode(images)))
    expected = block_flops(32, streams, len(present), streams + len(present), QUICK.num_patches(SIZE))
    assert counts[0] - counts[1] == expected


def test_a_shared_sweep_takes_46_steps_of_the_lstm_instead_of_94():
    """Bi-LSTM of M = 4: 30 forward steps and 16 backward ones, 4 of which see the zero state first and one each image."""
    case = QUICK.with_(num_modalities=4, batch_size=1)
    model, image = case.build(), case.images(SIZE)
    model.blocks = model.blocks[:1]
    subsets = case.modalities.subsets()
    together = count_flops(lambda: model.encode_subsets(image, subsets))
    dim, patches = case.embed_dim, case.num_patches(SIZE)
    last_block = block_flops(dim, 0, 15, 47, patches) + 4 * dim * dim * patches * 4  # keys and values of 4 streams
    embedding = 2 * case.patch_size**2 * case.modalities.num_bands * dim * patches
    inputs = 5 * 8 * dim * dim  # four streams and the fusion token, both directions
    # Steps with a state before them: 26 forward (the first of a sequence has none), 15 backward (all but the fusion's).
    recurrent = (26 + 15) * 2 * dim * dim
    # h_t in two parts for each subset; each prefix and each suffix once in W h_i. Scores are sums of products, which are not counted.
    attention = 15 * 2 * dim * dim + (15 + 15) * dim * dim
    assert together == last_block + embedding + patches * (inputs + recurrent + attention)


def test_counted_flops_of_a_dense_block_follow_from_all_tokens():
    dense = QUICK.build(DenseMaskViT)
    tokens = 4 * QUICK.num_patches(SIZE)
    counts = []
    for blocks in (dense.blocks, dense.blocks[:1]):
        dense.blocks = blocks
        counts.append(count_flops(lambda: dense.encode(QUICK.images(SIZE))))
    assert counts[0] - counts[1] == QUICK.batch_size * tokens * (24 * 32 * 32 + 4 * 32 * tokens)


@pytest.mark.parametrize("product", [torch.nn.functional.linear, linear], ids=["torch", "ours"])
def test_bare_products_count_themselves(product):
    run, flops = matrix_products(QUICK, rows=10, repeats=3, product=product)
    with FlopCounterMode(display=False) as counter:
        run()
    assert counter.get_total_flops() == flops == 3 * 10 * 24 * 32 * 32


def test_random_subsets_come_equally_often():
    drawn = draw_subsets(QUICK, 28)
    assert sorted(drawn) == sorted(QUICK.modalities.subsets() * 4)
    assert set(draw_subsets(QUICK, 7)) == set(QUICK.modalities.subsets())
    assert drawn != draw_subsets(QUICK, 28, seed=1)


@pytest.mark.parametrize("model_class", [DenseMaskViT, IncompleteMultimodalViT], ids=["dense", "structured"])
def test_only_the_dense_form_holds_more_than_the_image(model_class):
    case = QUICK.with_(batch_size=1)
    images = case.images(512)  # 1024 patches, 4096 tokens
    with LargestTensor() as seen, torch.no_grad():
        case.build(model_class).encode(images)
    assert (seen.elements == 4096 * 4096) if model_class is DenseMaskViT else (seen.elements <= images.numel())


def test_memory_grows_by_what_a_pass_needs():
    if not STATUS.exists():
        pytest.skip("needs /proc")
    assert measure_here("dense", QUICK.with_(batch_size=1)) >= 4096 * 4096


@pytest.mark.parametrize(
    "what",
    [
        "backbone",
        "train-step",
        "sweep",
        "evaluation",
        pytest.param("memory", marks=pytest.mark.slow),
        pytest.param("cold-start", marks=pytest.mark.slow),
    ],
)
def test_a_quick_run_measures_every_line(what):
    results = list(run_benchmark(what, quick=True, repeats=1))
    assert results
    for result in results:
        assert json.loads(json.dumps(result.as_json()))["title"] in result.as_markdown()
        for line in result.lines:
            assert line.values and all(math.isfinite(value) and value > 0 for value in line.values), line.what
        assert all(seconds > 0 for timed in result.timings.values() for seconds in timed.seconds)
    targets = {"backbone": 10, "train-step": 1, "sweep": 4, "memory": 1}.get(what, 0)
    assert sum(line.target is not None for result in results for line in result.lines) == targets


def test_without_a_gpu_the_benchmark_says_it_was_skipped(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = next(benchmark_gpu(QUICK))
    assert not result.lines and result.notes[0].startswith("Skipped")


def test_the_gpu_benchmark_runs_on_any_device(monkeypatch):
    """On the CPU, where its numbers mean nothing; compilation is left out, it takes half a minute."""
    monkeypatch.setattr("projects.benchmarks.mixed_precision.compile_per_token", lambda model: model)
    results = list(benchmark_mixed_precision(QUICK, repeats=1))
    assert [len(result.lines) for result in results] == [5, 4, 4]
    assert all(value > 0 for result in results for line in result.lines for value in line.values)


def test_what_does_not_fit_is_left_out_with_a_note(monkeypatch):
    def too_large(case):
        raise torch.OutOfMemoryError("too large")

    monkeypatch.setattr("projects.benchmarks.mixed_precision._forward_backward", lambda model, images: too_large(model))
    monkeypatch.setattr("projects.benchmarks.mixed_precision.compile_per_token", lambda model: model)
    result = next(benchmark_mixed_precision(QUICK, repeats=1))
    assert [line.what for line in result.lines] == ["bare products"]
    assert result.notes[1:] == [
        "Left out: uncompiled (OutOfMemoryError: too large).",
        "Left out: norms and MLPs compiled (OutOfMemoryError: too large).",
    ]


@pytest.mark.slow
def test_per_token_parts_compile_once_for_all_subsets():
    from projects.benchmarks.compilation import benchmark_compilation

    lines = benchmark_compilation(QUICK, repeats=1)[0].lines
    if not lines:
        pytest.skip("torch.compile does not work here")
    assert lines[0].values[0] <= 3 < lines[1].values[0]


@pytest.mark.slow
def test_a_compiled_model_gives_the_same():
    images = QUICK.images(SIZE, MIXED)
    with torch.no_grad():
        try:
            actual = compile_per_token(QUICK.build()).encode(images).fusion
        except Exception:
            pytest.skip("torch.compile does not work here")
        torch.testing.assert_close(actual, QUICK.build().encode(images).fusion, rtol=1e-4, atol=1e-5)
