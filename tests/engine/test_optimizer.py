import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from torch import nn

from imrsf_d2.engine.optimizer import build_optimizer, build_scheduler, parameter_groups


class Toy(nn.Module):
    """One parameter of each kind, inside and outside the backbone; the sizes tell them apart."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.fusion_tokens = nn.Parameter(torch.ones(1))
        self.backbone.norm = nn.LayerNorm(2)  # scale and shift: 2 + 2
        self.backbone.linear = nn.Linear(3, 1)  # weight 3, bias 1
        self.head = nn.Linear(5, 1)  # weight 5, bias 1
        self.queries = nn.Embedding(1, 7)
        self.frozen = nn.Linear(1, 1).requires_grad_(False)
        self.tied = self.head


def as_table(groups):
    return {(g["lr"], g["weight_decay"]): sorted(p.numel() for p in g["params"]) for g in groups}


def test_groups_worked_by_hand():
    groups = parameter_groups(
        Toy(),
        base_lr=1.0,
        weight_decay=0.5,
        weight_decay_norm=0.0,
        weight_decay_embed=0.25,
        weight_decay_bias=0.125,
        backbone_multiplier=0.1,
    )
    assert as_table(groups) == {
        (0.1, 0.0): [2, 2],  # norm of the backbone
        (0.1, 0.25): [1],  # fusion tokens
        (0.1, 0.5): [3],  # weight
        (0.1, 0.125): [1],  # bias
        (1.0, 0.5): [5],
        (1.0, 0.125): [1],
        (1.0, 0.25): [7],
    }


def test_the_backbones_maps_learn_like_the_heads():
    """No pre-training gives their layers: they start as random as the heads do."""
    model = Toy()
    model.backbone.pyramid = nn.Linear(11, 1)
    groups = parameter_groups(model, base_lr=1.0, weight_decay=0.5, backbone_multiplier=0.1)
    assert as_table(groups) == {(0.1, 0.5): [1, 1, 2, 2, 3], (1.0, 0.5): [1, 1, 5, 7, 11]}


@pytest.mark.parametrize("name", ["level_embed", "cls_token", "embed_scale", "relative_position_bias_table"])
def test_learned_inputs_do_not_decay_as_weights_do(name):
    """`level_embed` is what Mask2Former's pixel decoder adds to a map by its level: an input, though no nn.Embedding."""
    model = nn.Module()
    model.transformer = nn.Module()
    model.transformer.register_parameter(name, nn.Parameter(torch.ones(3, 4)))
    assert as_table(parameter_groups(model, base_lr=1.0, weight_decay=0.5, weight_decay_embed=0.0)) == {(1.0, 0.0): [12]}


def test_unset_decays_fall_back_to_the_general_one():
    assert as_table(parameter_groups(Toy(), base_lr=1.0, weight_decay=0.5)) == {(1.0, 0.5): [1, 1, 1, 2, 2, 3, 5, 7]}


def solver(**changes):
    clip = {"ENABLED": True, "CLIP_TYPE": "full_model", "CLIP_VALUE": 1.0, "NORM_TYPE": 2.0}
    keys = {
        "OPTIMIZER": "SGD",
        "BASE_LR": 1.0,
        "WEIGHT_DECAY": 0.0,
        "WEIGHT_DECAY_NORM": 0.0,
        "WEIGHT_DECAY_EMBED": 0.0,
        "WEIGHT_DECAY_BIAS": None,
        "BACKBONE_MULTIPLIER": 1.0,
        "MOMENTUM": 0.0,
        "NESTEROV": False,
    }
    return CfgNode({"SOLVER": {**keys, "CLIP_GRADIENTS": {**clip, **changes.pop("CLIP", {})}, **changes}})


@pytest.mark.parametrize(
    "changes, step",
    [
        ({}, [0.6, 0.8]),  # gradients 3 and 4 have the joint norm 5
        ({"CLIP": {"CLIP_VALUE": 10.0}}, [3.0, 4.0]),
        ({"CLIP": {"ENABLED": False}}, [3.0, 4.0]),
        ({"CLIP": {"CLIP_TYPE": "norm"}}, [1.0, 1.0]),  # Detectron2's: each parameter by itself
    ],
    ids=["full_model", "below", "disabled", "norm"],
)
def test_clipping(changes, step):
    model = nn.ParameterList([nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))])
    optimizer = build_optimizer(solver(**changes), model)
    for parameter, gradient in zip(model, (3.0, 4.0)):
        parameter.grad = torch.full((1,), gradient)
    optimizer.step()
    assert torch.allclose(-torch.cat(list(model)), torch.tensor(step), atol=1e-5)


def test_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match="SOLVER.OPTIMIZER is 'LION', expected one of"):
        build_optimizer(solver(OPTIMIZER="LION"), Toy())


def test_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="no trainable parameter"):
        build_optimizer(solver(), Toy().requires_grad_(False))


def test_a_step_at_the_last_iteration_is_left_out_like_one_after_it(caplog):
    cfg = get_cfg()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.WARMUP_ITERS = 80, (40, 80, 95), 0
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    with caplog.at_level("WARNING", "imrsf_d2"):
        schedule = build_scheduler(cfg, optimizer)
    rates = []
    for _ in range(80):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:40] == [1.0] * 40 and rates[40:] == pytest.approx([cfg.SOLVER.GAMMA] * 40)
    assert "SOLVER.STEPS has 80, 95, not below SOLVER.MAX_ITER 80" in caplog.text and cfg.SOLVER.STEPS == (40, 80, 95)
