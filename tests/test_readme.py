"""What README tells a reader to type works as written."""

import re
from pathlib import Path

import pytest
import torch

README = (Path(__file__).parent.parent / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def run(block):
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_the_backbone_builds_inside_another_mask2former_project():
    from detectron2.modeling import build_backbone

    cfg = run(PYTHON_BLOCKS[0])["cfg"]
    backbone = build_backbone(cfg)
    assert backbone.modalities.names == ("s2", "dem")
    assert cfg.MODEL.PIXEL_MEAN == [0.0] * 7


def test_direct_use_gives_the_shapes_it_promises():
    maps = run(PYTHON_BLOCKS[1])["maps"]
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "res2": (2, 768, 64, 64), "res3": (2, 768, 32, 32), "res4": (2, 768, 16, 16), "res5": (2, 768, 8, 8)}
    assert all(torch.isfinite(m).all() for m in maps.values())


@pytest.mark.parametrize("target", re.findall(r"\]\(([\w/.]+)\)", README))
def test_links_lead_somewhere(target):
    assert (Path(__file__).parent.parent / target).exists()
