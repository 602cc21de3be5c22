"""Partial fine-tuning: the encoder stays as it was loaded, the rest trains."""

import pytest
import torch
from detectron2.engine import create_ddp_model
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn

from imrsf_d2.engine.loop import TrainingLoop
from imrsf_d2.engine.trainer import Trainer
from tests.modeling.conftest import SUBSETS, build, make_images
from tests.processes import run_in_processes
from tests.tiny import DEMO_CONFIG, OVERRIDES, PRETRAINING
from tests.tools.test_train_net import load_tool


def is_of_encoder(name, prefix=""):
    return name.startswith(prefix) and not name.startswith(f"{prefix}pyramid.")


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


# The backbone


def test_of_a_frozen_backbone_the_maps_alone_are_trainable():
    everything = {name for name, _ in build().named_parameters()}
    assert trainable(build()) == everything
    assert trainable(build(freeze=True)) == {name for name in everything if not is_of_encoder(name)} != set()


@pytest.mark.parametrize("ablation", [{}, {"gather": "none"}, {"masked_attention": False}], ids=str)
@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_in_training_a_frozen_encoder_gives_what_it_gives_in_evaluation(coverage, ablation):
    image = make_images(SUBSETS, coverage)
    model = build(freeze=True, drop_path=0.9, **ablation)
    in_training = model.train()(image)
    with torch.no_grad():
        in_evaluation = model.eval()(image)
        unfrozen = build(drop_path=0.9, **ablation).eval()(image)
    for name, values in in_training.items():
        assert torch.equal(values, in_evaluation[name]) and torch.equal(values, unfrozen[name]), name


def test_stochastic_depth_is_off_before_anybody_calls_train():
    model = build(freeze=True, drop_path=0.9)
    image = make_images(SUBSETS)
    for name, values in model(image).items():
        assert torch.equal(values, model.eval()(image)[name]), name


def test_an_encoder_that_is_not_frozen_switches_with_the_model():
    assert all(module.training for module in build().train().modules())
    assert not any(module.training for module in build().eval().modules())
    assert {name for name, module in build(freeze=True).train().named_modules() if not module.training} == {
        name for name, _ in build().named_modules() if name and name.split(".")[0] != "pyramid"
    }


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_every_trainable_parameter_gets_a_gradient_and_no_frozen_one(subset):
    model = build(freeze=True).train()
    maps = model(make_images([subset]))
    assert not maps["res3"].requires_grad  # of the tokens' own stride: nothing of it is trainable
    sum(values.square().sum() for values in maps.values()).backward()
    for name, parameter in model.named_parameters():
        if is_of_encoder(name):
            assert parameter.grad is None, name
        else:
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_all_subsets_at_once_are_encoded_without_gradients_too():
    image = make_images([("sar", "rgb"), ("landuse",)])
    (whole,) = build(freeze=True).train().forward_subsets(image, [("sar", "rgb", "landuse")])
    assert not whole["res3"].requires_grad and whole["res2"].requires_grad


def test_a_pretraining_cannot_be_frozen(tiny_config):
    with pytest.raises(ValueError, match="MODEL.IMRSF.FREEZE is True, expected False in pre-training"):
        tiny_config(*PRETRAINING, "MODEL.IMRSF.FREEZE", "True")


# The training


@pytest.fixture
def pretrained(tiny_config, tmp_path):
    """A checkpoint as a pre-training run writes it."""
    path = tmp_path / "pretrained.pth"
    torch.save({"model": build_model(tiny_config(*PRETRAINING)).state_dict()}, path)
    return path


@pytest.mark.parametrize("amp", ["False", "True"])
def test_a_training_changes_no_frozen_parameter_by_a_bit(tiny_config, pretrained, amp):
    trainer = Trainer(
        tiny_config(
            "MODEL.IMRSF.FREEZE",
            "True",
            "MODEL.WEIGHTS",
            str(pretrained),
            "SOLVER.BASE_LR",
            "0.1",
            "MODEL.IMRSF.DROP_PATH",
            "0.5",
            "SOLVER.MAX_ITER",
            "2",
            "SOLVER.STEPS",
            "(1,)",
            "DATASETS.TEST",
            "()",
            "SOLVER.AMP.ENABLED",
            amp,
        )
    )
    trainer.resume_or_load(resume=False)
    model = trainer.model
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    weights = torch.load(pretrained)["model"]
    optimized = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    trainer.train()

    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    frozen = {name for name in before if is_of_encoder(name, "backbone.")}
    assert changed.isdisjoint(frozen) and frozen
    assert all(torch.equal(dict(model.named_parameters())[name], weights[name]) for name in frozen)
    assert {name for name in before if name.startswith("backbone.pyramid.")} <= changed
    assert any(name.startswith("sem_seg_head.predictor.") for name in changed)
    assert {name for name, p in model.named_parameters() if id(p) in optimized} == before.keys() - frozen
    assert all(p.grad is not None for name, p in model.named_parameters() if name not in frozen)


@pytest.fixture
def train_net(tiny_root, tmp_path, monkeypatch):
    """Runs tools/train_net.py on the frozen model in this process; returns its exit code."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))

    def run(*options, **changes):
        opts = {"SOLVER__MAX_ITER": 2, "SOLVER__STEPS": "(1,)", "OUTPUT_DIR": tmp_path / "run"} | changes
        return load_tool("train_net").main(
            [
                "--config-file",
                str(DEMO_CONFIG),
                *options,
                *OVERRIDES,
                *(word for key, value in opts.items() for word in (key.replace("__", "."), str(value))),
            ]
        )

    return run


def test_a_frozen_training_needs_weights_to_start_and_none_to_go_on(train_net, pretrained, capfd, tmp_path):
    for arguments in ((), ("--resume",)):
        assert train_net(*arguments, MODEL__IMRSF__FREEZE=True) == 2
        assert "MODEL.IMRSF.FREEZE is True and MODEL.WEIGHTS is empty" in capfd.readouterr().err
        assert not (tmp_path / "run").exists()  # no work was done
    frozen = {"MODEL__IMRSF__FREEZE": True, "DATASETS__TEST": "()"}
    assert train_net(MODEL__WEIGHTS=pretrained, **frozen) == 0
    assert train_net("--resume", SOLVER__MAX_ITER=3, **frozen) == 0
    assert train_net("--resume", "--eval-only", MODEL__IMRSF__FREEZE=True) == 0
    assert train_net("--eval-only", MODEL__IMRSF__FREEZE=True, MODEL__WEIGHTS=tmp_path / "run/model_final.pth") == 0
    before, after = (torch.load(path)["model"] for path in (pretrained, tmp_path / "run/model_final.pth"))
    assert all(torch.equal(after[name], before[name]) for name in after if is_of_encoder(name, "backbone."))


def test_a_pretraining_is_not_scored(train_net, capfd, tmp_path, monkeypatch):
    monkeypatch.setattr("imrsf_d2.engine.trainer.build_evaluator", None)  # whoever calls it fails
    mae = {key.replace(".", "__"): value for key, value in zip(PRETRAINING[::2], PRETRAINING[1::2])}
    assert train_net(TEST__EVAL_PERIOD=1, **mae) == 0
    assert "loss_rgb" in (tmp_path / "run/metrics.json").read_text()
    capfd.readouterr()
    assert train_net("--eval-only", MODEL__WEIGHTS=tmp_path / "run/model_final.pth", **mae) == 2
    assert "nothing to score: MODEL.META_ARCHITECTURE is 'IncompleteMultimodalMAE'" in capfd.readouterr().err


# Several processes


class Task(nn.Module):
    """A loss that is a mean over samples."""

    def __init__(self):
        super().__init__()
        self.backbone = build(freeze=True)

    def forward(self, samples):
        return {"loss": sum(maps.square().mean() for maps in self.backbone(torch.stack(samples)).values())}


def gradients(samples):
    model = Task()
    wrapped = create_ddp_model(model, broadcast_buffers=False, device_ids=None)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    loop = TrainingLoop(wrapped, [samples] * 2, optimizer)
    with EventStorage():
        for _ in range(2):  # the second step fails if a gradient of the first is still waited for
            loop.run_step()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


#: What the samples of the first and of the second process have.
ROWS = [[("sar",), ()], [("rgb", "landuse"), ("sar", "rgb", "landuse")]]


def train_in_process(path):
    result = gradients(list(make_images(sum(ROWS, [])).chunk(2)[comm.get_rank()]))
    if comm.is_main_process():
        torch.save(result, path)


@pytest.mark.slow  # starting a process takes seconds
def test_processes_exchange_what_trains_and_wait_for_nothing_else(tmp_path):
    run_in_processes(train_in_process, tmp_path / "gradients.pth")
    got, expected = torch.load(tmp_path / "gradients.pth"), gradients(list(make_images(sum(ROWS, []))))
    assert got.keys() == expected.keys() == trainable(Task())
    for name, gradient in expected.items():
        assert torch.allclose(got[name], gradient, rtol=1e-8, atol=1e-10), name
