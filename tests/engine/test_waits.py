"""A whole Mask2Former on a GPU that is only pretended: no operation mixes devices, and the host waits once for what is ours."""

import torch
from detectron2.structures import BitMasks, Instances

from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.modeling.tokens import sincos_position_embedding
from tests.pretended_gpu import PretendedGPU
from tests.tiny import SIZE


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


def test_mask2former_waits_once_for_its_backbone(tiny_config):
    cfg = tiny_config("MODEL.DEVICE", "cpu")
    model, batch = Trainer.build_model(cfg), [sample(0, 0), sample(1, SIZE), sample(2, SIZE // 2)]
    sincos_position_embedding.cache_clear()
    try:
        with PretendedGPU() as gpu:
            gpu.to_gpu(model)
            for training in (True, False):
                model.train(training)
                for _ in range(2):  # the first pass caches positions and checks statistics
                    gpu.waits.clear()
                    with torch.set_grad_enabled(training):
                        output = model(batch)
                    if training:
                        sum(output.values()).backward()
                assert gpu.ours == {"layout.py copy to the CPU": 1}, gpu.waits
    finally:
        sincos_position_embedding.cache_clear()
