"""finalize_config: what it derives, and what it refuses."""

import pytest
from detectron2.config import get_cfg

from imrsf_d2 import upstream
from imrsf_d2.config import add_imrsf_config, finalize_config
from imrsf_d2.modeling import IncompleteMultimodalViT

MODALITIES = [{"NAME": "sar", "MEAN": [-8.0], "STD": [3.0]}, {"NAME": "rgb", "CHANNELS": 3}]


@pytest.fixture
def cfg():
    upstream.prepare()
    from mask2former import add_maskformer2_config

    cfg = get_cfg()
    add_maskformer2_config(cfg)
    add_imrsf_config(cfg)
    cfg.MODEL.IMRSF.MODALITIES = MODALITIES
    return cfg


def test_statistics_are_derived_from_the_modalities(cfg):
    finalize_config(cfg)
    assert cfg.MODEL.PIXEL_MEAN == [-8.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert cfg.MODEL.PIXEL_STD == [3.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_the_backbone_reads_every_model_key(cfg):
    """Change each key under MODEL.IMRSF away from its default: the backbone must follow."""
    cfg.merge_from_list(["MODEL.IMRSF.PATCH_SIZE", 8, "MODEL.IMRSF.EMBED_DIM", 24, "MODEL.IMRSF.DEPTH", 3,
                         "MODEL.IMRSF.NUM_HEADS", 2, "MODEL.IMRSF.MLP_RATIO", 2.0, "MODEL.IMRSF.DROP_PATH", 0.2,
                         "MODEL.IMRSF.OUT_LAYERS", [1, 2], "MODEL.IMRSF.OUT_FEATURES", ["res3", "res4"],
                         "MODEL.IMRSF.BILSTM", False, "MODEL.IMRSF.MASKED_ATTENTION", False,
                         "MODEL.IMRSF.MIN_VALID", 0.3, "MODEL.IMRSF.ABSENT", "zeros",
                         "MODEL.IMRSF.CHECKPOINT_BLOCKS", True])
    finalize_config(cfg)
    vit = IncompleteMultimodalViT(cfg)
    assert (vit.patch_size, vit.embed_dim, len(vit.blocks), vit.min_valid, vit.absent) == (8, 24, 3, 0.3, "zeros")
    assert (vit.out_layers, tuple(vit.output_shape())) == ((1, 2), ("res3", "res4"))
    assert vit.checkpoint_blocks
    block = vit.blocks[-1]
    assert (block.attn.num_heads, block.attn.masked, block.drop_path) == (2, False, 0.2)
    assert block.mlp.fc1.out_features == 48 and vit.bilstm is None and vit.modalities.names == ("sar", "rgb")


@pytest.mark.parametrize("key,value,message", [
    ("MODEL.IMRSF.MODALITIES", [], "MODEL.IMRSF.MODALITIES is empty"),
    ("MODEL.IMRSF.PATCH_SIZE", 12, "PATCH_SIZE is 12, expected a power of two"),
    ("MODEL.IMRSF.EMBED_DIM", 770, "EMBED_DIM is 770, expected a multiple of 4"),
    ("MODEL.IMRSF.NUM_HEADS", 7, "EMBED_DIM is 768, expected a multiple of MODEL.IMRSF.NUM_HEADS = 7"),
    ("MODEL.IMRSF.OUT_LAYERS", [11], "OUT_LAYERS is .11., expected one block for each of"),
    ("MODEL.IMRSF.DEPTH", 6, "OUT_LAYERS is .2, 5, 8, 11., expected blocks from 0 to MODEL.IMRSF.DEPTH - 1 = 5"),
    ("MODEL.IMRSF.MIN_VALID", 0.0, "MIN_VALID is 0.0, expected a share above 0"),
    ("MODEL.IMRSF.DROP_PATH", 1.0, "DROP_PATH is 1.0, expected a probability below 1"),
    ("MODEL.IMRSF.ABSENT", "drop", "ABSENT is 'drop', expected 'skip' or 'zeros'"),
    ("SOLVER.AMP.PRECISION", "fp8", "AMP.PRECISION is 'fp8', expected 'bf16' or 'fp16'"),
    ("SOLVER.ACCUMULATE", 3, "ACCUMULATE is 3, expected a divisor of SOLVER.IMS_PER_BATCH = 16"),
    ("SOLVER.ACCUMULATE", 0, "ACCUMULATE is 0"),
    ("INPUT.MODALITY_DROPOUT.STRATEGY", "some", "STRATEGY is 'some', expected 'uniform' or 'uniform_size'"),
    ("INPUT.SCALE_JITTER", [2.0, 0.5], r"SCALE_JITTER is \[2.0, 0.5\], expected \[least, most\] with 0.1 <= least"),
    ("INPUT.SCALE_JITTER", [0.0, 2.0], "SCALE_JITTER"),
    ("INPUT.SCALE_JITTER", ["a", "b"], "SCALE_JITTER"),
    ("INPUT.PHOTOMETRIC", [{"NAME": "sar", "GAIN": 2}], "INPUT.PHOTOMETRIC: entry .*'GAIN'"),
    ("INPUT.TEST_MODALITIES", ["rgb", "lidar"], "TEST_MODALITIES names the unknown modality 'lidar'; .*has .'sar', 'rgb'"),
])
def test_contradictions_are_refused(cfg, key, value, message):
    cfg.merge_from_list([key, value])
    with pytest.raises(ValueError, match=message):
        finalize_config(cfg)


def test_more_detections_than_candidates_are_refused(cfg):
    cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "MaskFormer", "MODEL.MASK_FORMER.TEST.INSTANCE_ON", True,
                         "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", 20, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 1,
                         "TEST.DETECTIONS_PER_IMAGE", 100])
    with pytest.raises(ValueError, match="DETECTIONS_PER_IMAGE is 100, expected at most queries x classes = 20"):
        finalize_config(cfg)
