"""bf16 and fp16: close to float32, where they are asked for, and refused where they cannot be had."""

import math

import pytest
import torch
from torch import nn

from imrsf_d2.data.loaders import build_train_loader
from imrsf_d2.engine.configuration import load_config, setup_run
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.evaluation import sweep_subsets
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.precision import autocast, check_precision, grad_scaler
from tests.modeling.conftest import build, make_images
from tests.oracle import Oracle
from tests.tiny import DEMO_CONFIGS, OVERRIDES

BF16 = ("SOLVER.AMP.ENABLED", "True")


def away(got, expected):
    """The distance between tensors, relative to the second."""
    return ((got.double() - expected.double()).norm() / expected.double().norm()).item()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_the_encoder_in_bf16_is_close_to_float32(coverage, device):
    model = build().float().to(device)
    image = make_images([("sar", "rgb", "landuse"), ("rgb",), (), ("landuse",)], coverage).float().to(device)
    expected = model(image)
    with torch.autocast(device, dtype=torch.bfloat16):
        got = model(image)
    for name, map_ in expected.items():
        assert 0 < away(got[name], map_) < 0.05, name


def losses_and_gradients(cfg, model, batch):
    torch.manual_seed(1)  # of the points where losses are sampled
    model.zero_grad()
    with autocast(cfg):
        losses = model(batch)
    sum(losses.values()).backward()
    return {k: v.item() for k, v in losses.items()}, {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_a_training_step_in_bf16_is_close_to_float32(task, device, tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    opts = [*OVERRIDES, "MODEL.DEVICE", device]
    cfg = load_config(DEMO_CONFIGS[task], opts)
    model, batch = Trainer.build_model(cfg), next(iter(build_train_loader(cfg)))
    expected, gradients = losses_and_gradients(cfg, model, batch)
    got, narrow = losses_and_gradients(load_config(DEMO_CONFIGS[task], [*opts, *BF16]), model, batch)
    assert got != expected
    assert sum(got.values()) == pytest.approx(sum(expected.values()), rel=0.02)
    assert {gradient.dtype for gradient in narrow.values()} == {torch.float32}
    everything = [torch.cat([gradient.flatten() for gradient in each.values()]) for each in (narrow, gradients)]
    # Mask2Former attends to where a mask is above a half, and takes its losses at the least certain points: a rounding can
    # move both, so that these gradients agree less for some weights (on the CPU, 0.84 for one of eight initializations).
    assert nn.functional.cosine_similarity(*everything, dim=0) > {"cpu": 0.95, "cuda": 0.7}[device]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("task", ["instance", "lulc"])
def test_samples_with_all_some_and_no_sensors_give_finite_gradients_on_a_gpu(task, precision, tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    opts = [*OVERRIDES, *BF16, "SOLVER.AMP.PRECISION", precision, "MODEL.DEVICE", "cuda", "SOLVER.IMS_PER_BATCH", "4"]
    cfg = load_config(DEMO_CONFIGS[task], [*opts, "INPUT.MODALITY_DROPOUT.ENABLED", "False"])
    model, batch = Trainer.build_model(cfg), next(iter(build_train_loader(cfg)))
    modalities = ModalitySet.from_config(cfg)
    names = modalities.names
    for sample, subset in zip(batch, [names, names[:1], names[1:], ()], strict=True):
        for name in set(names) - set(subset):
            sample["image"][modalities.validity(name)] = 0
    losses, gradients = losses_and_gradients(cfg, model, batch)
    assert all(math.isfinite(loss) for loss in losses.values()), losses
    assert [name for name, gradient in gradients.items() if not gradient.isfinite().all()] == []
    assert any(gradient.any() for name, gradient in gradients.items() if name.startswith("backbone"))


class Witness(Oracle):
    """Remembers in which type it was asked to compute; None: its own."""

    def forward(self, inputs):
        self.types.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        return super().forward(inputs)


@pytest.mark.parametrize("opts, dtype", [((), None), (BF16, torch.bfloat16)], ids=["float32", "bf16"])
def test_evaluation_and_sweep_compute_in_it_too(tiny_config, opts, dtype):
    cfg = tiny_config(*opts)
    model = Witness(cfg, "dfc2023_track2_val")
    model.types = []
    Trainer.test(cfg, model)
    assert set(model.types) == {dtype}
    model.types.clear()
    sweep_subsets(cfg, model, "dfc2023_track2_val", subsets=[["rgb"]])
    assert set(model.types) == {dtype}


def test_only_fp16_scales_gradients(tiny_config):
    fp16 = ("SOLVER.AMP.PRECISION", "fp16")
    scaled = [grad_scaler(tiny_config(*opts)) is not None for opts in ((), BF16, fp16, (*BF16, *fp16))]
    assert scaled == [False, False, False, True]


def test_fp16_on_the_cpu_is_refused_with_the_remedy(tiny_config):
    with pytest.raises(ValueError, match="append SOLVER.AMP.PRECISION bf16"):
        setup_run(tiny_config(*BF16, "SOLVER.AMP.PRECISION", "fp16"), None)
    check_precision(tiny_config("SOLVER.AMP.PRECISION", "fp16"))  # not enabled


def test_bf16_on_a_gpu_without_it_is_refused_with_the_remedy(tiny_config, monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (7, 5))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "an old GPU")
    with pytest.raises(ValueError, match="an old GPU does not support; append SOLVER.AMP.PRECISION fp16"):
        check_precision(tiny_config(*BF16, "MODEL.DEVICE", "cuda"))


@pytest.mark.gpu
def test_fp16_trains_on_a_gpu_and_resumes_with_its_scale(tiny_config):
    cfg = tiny_config(
        "MODEL.DEVICE", "cuda", *BF16, "SOLVER.AMP.PRECISION", "fp16", "SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "(1,)"
    )
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    scale = trainer._trainer.scaler.get_scale()
    assert scale != 65536.0 or trainer._trainer.scaler._get_growth_tracker() == 2
    again = Trainer(cfg)
    again.resume_or_load(resume=True)
    assert again._trainer.scaler.get_scale() == scale
