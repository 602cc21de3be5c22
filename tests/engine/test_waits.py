"""Whole models on a GPU that is only pretended: no operation mixes devices, and the host rarely waits for what is ours."""

import pytest
import torch
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

from imrsf_d2.engine.averaging import weight_average
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.modeling.tokens import sincos_position_embedding
from tests.pretended_gpu import PretendedGPU
from tests.tiny import REPOSITORY, SIZE

PANOPTIC = ["MODEL.MASK_FORMER.TEST.PANOPTIC_ON", "True", "MODEL.MASK_FORMER.TEST.OBJECT_MASK_THRESHOLD", "0.0"]
MASK_RCNN = ["MODEL.IMRSF.EMBED_DIM", "32", "MODEL.FPN.OUT_CHANNELS", "8", "INPUT.CROP.SIZE", f"[{SIZE}, {SIZE}]"]


def sample(seed, missing):
    """A tile whose second modality holds no data in some columns, and one object."""
    image = torch.randn(8, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    image[-3:] = 1.0
    image[-2, :, :missing] = 0.0
    masks = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    masks[:, 10:30, 20:50] = True
    instances = Instances(
        (SIZE, SIZE), gt_classes=torch.tensor([0]), gt_masks=masks, gt_boxes=BitMasks(masks).get_bounding_boxes()
    )
    return {"image": image, "instances": instances, "height": SIZE, "width": SIZE}


@pytest.fixture
def gpu():
    sincos_position_embedding.cache_clear()  # what is cached is of one device
    with PretendedGPU() as pretended:
        yield pretended
    sincos_position_embedding.cache_clear()


def run(model, gpu, training, batch):
    """Pass twice, as the first pass caches positions and checks statistics; the waits are those of the second."""
    model.train(training)
    for _ in range(2):
        gpu.waits.clear()
        with torch.set_grad_enabled(training), EventStorage():
            output = model(batch)
        if training:
            sum(output.values()).backward()


@pytest.mark.parametrize("options", [[], PANOPTIC], ids=["instances", "panoptic"])
def test_mask2former_waits_once_for_its_backbone_and_once_for_the_matches_of_each_layer(options, tiny_config, gpu):
    model = gpu.to_gpu(Trainer.build_model(tiny_config("MODEL.DEVICE", "cpu", *options)))
    batch = [sample(0, 0), sample(1, SIZE), sample(2, SIZE // 2)]
    once = {"layout.py copy to the CPU": 1}
    run(model, gpu, False, batch)
    assert gpu.ours == once, gpu.waits
    run(model, gpu, True, batch)
    assert gpu.ours == once | {"set_losses.py copy to the CPU": 2}, gpu.waits


def test_mask_rcnn_waits_once_for_its_backbone(tiny_root, monkeypatch, gpu):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    cfg = load_config(REPOSITORY / "configs/quick/dfc2023_mask_rcnn_fpn.yaml", [*MASK_RCNN, "MODEL.DEVICE", "cpu"])
    model = gpu.to_gpu(Trainer.build_model(cfg))
    for training in (False, True):
        batch = [sample(0, 0), sample(1, SIZE), sample(2, SIZE // 2)]
        for one in batch:
            one["instances"].gt_masks = BitMasks(one["instances"].gt_masks)
        run(model, gpu, training, batch)
        assert gpu.ours == {"layout.py copy to the CPU": 1}, gpu.waits


def test_the_average_of_weights_never_waits(tiny_config, gpu):
    cfg = tiny_config("MODEL.DEVICE", "cpu", "SOLVER.EMA", "0.9")
    model = Trainer.build_model(cfg)
    average = weight_average(cfg, model)
    gpu.to_gpu(model), gpu.to_gpu(average.module)
    for value in (2.0, 3.0):  # the first update copies
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        average.update_parameters(model)
    assert not gpu.waits
    assert all(torch.allclose(one.inner, torch.tensor(2.1)) for one in average.module.parameters())
