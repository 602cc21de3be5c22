"""finalize_config: what it derives, and what it refuses."""

import inspect
import re

import pytest
from detectron2.config import get_cfg

from imrsf_d2.compat import upstream
from imrsf_d2.config import PRETRAINING, add_imrsf_config, finalize_config
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling import build_imrsf_vit_backbone
from imrsf_d2.modeling.reconstruction import Reconstruction, read_reconstructions

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


def change(cfg, values):
    cfg.merge_from_list([part for pair in values.items() for part in pair])


def test_every_key_and_group_has_its_meaning_directly_above():
    """The configuration reference is made of these comments."""
    lines = inspect.getsource(add_imrsf_config).splitlines()
    assigned = {match[1]: i for i, line in enumerate(lines) if (match := re.search(r"\.([A-Z_.]+) = [^=]+$", line))}
    assert {"MODALITIES", "PRETRAIN", "CONTRASTIVE.WEIGHT", "INPUT.MODALITY_DROPOUT.STRATEGY"} <= assigned.keys()
    assert not [key for key, i in assigned.items() if not lines[i - 1].startswith("    # ")]


def test_statistics_are_derived_from_the_modalities(cfg):
    finalize_config(cfg)
    assert cfg.MODEL.PIXEL_MEAN == [-8.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert cfg.MODEL.PIXEL_STD == [3.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_the_backbone_reads_every_model_key(cfg):
    """Change each key under MODEL.IMRSF away from its default: the backbone must follow."""
    changed = {
        "PATCH_SIZE": 8,
        "EMBED_DIM": 24,
        "DEPTH": 3,
        "NUM_HEADS": 2,
        "MLP_RATIO": 2.0,
        "DROP_PATH": 0.2,
        "OUT_LAYERS": [1, 2],
        "OUT_FEATURES": ["res3", "res4"],
        "GATHER": "none",
        "MASKED_BLOCKS": 2,
        "READOUT": "modalities",
        "DETAIL": 4,
        "MIN_VALID": 0.3,
        "ABSENT": "zeros",
        "CHECKPOINT_BLOCKS": True,
        "FREEZE": True,
    }
    # SCALE_FACTORS is of a pyramid on the backbone; MASKED_ATTENTION contradicts MASKED_BLOCKS and comes below.
    assert changed.keys() == cfg.MODEL.IMRSF.keys() - {"MODALITIES", "PRETRAIN", "SCALE_FACTORS", "MASKED_ATTENTION"}
    assert all(cfg.MODEL.IMRSF[key] != value for key, value in changed.items())
    change(cfg, {f"MODEL.IMRSF.{key}": value for key, value in changed.items()})
    finalize_config(cfg)
    first = build_imrsf_vit_backbone(cfg)
    assert [block.attn.masked for block in first.blocks] == [True, True, False]
    change(cfg, {"MODEL.IMRSF.MASKED_ATTENTION": False, "MODEL.IMRSF.MASKED_BLOCKS": -1})
    finalize_config(cfg)
    vit = build_imrsf_vit_backbone(cfg)
    assert (vit.patch_size, vit.embed_dim, len(vit.blocks), vit.min_valid, vit.absent) == (8, 24, 3, 0.3, "zeros")
    assert (vit.out_layers, tuple(vit.output_shape())) == ((1, 2), ("res3", "res4"))
    assert vit.checkpoint_blocks and vit.frozen and vit.detail.sensors["sar"].last.out_channels == 4
    block = vit.blocks[-1]
    assert (block.attn.num_heads, block.attn.masked, block.drop_path) == (2, False, 0.2)
    assert (
        block.mlp.fc1.out_features == 48
        and (vit.bilstm, vit.readout) == (None, "modalities")
        and vit.modalities.names == ("sar", "rgb")
    )


@pytest.mark.parametrize(
    "key,value,message",
    [
        ("MODEL.IMRSF.MODALITIES", [], "MODEL.IMRSF.MODALITIES is empty"),
        ("MODEL.IMRSF.PATCH_SIZE", 12, "PATCH_SIZE is 12, expected a power of two"),
        ("MODEL.IMRSF.EMBED_DIM", 770, "EMBED_DIM is 770, expected a multiple of 4"),
        ("MODEL.IMRSF.EMBED_DIM", 0, "EMBED_DIM is 0, expected a multiple of 4, 4 or more"),
        ("MODEL.IMRSF.NUM_HEADS", 0, "NUM_HEADS is 0, expected 1 or more"),
        ("MODEL.IMRSF.NUM_HEADS", 7, "EMBED_DIM is 768, expected a multiple of MODEL.IMRSF.NUM_HEADS = 7"),
        ("MODEL.IMRSF.OUT_LAYERS", [11], "OUT_LAYERS is .11., expected one block for each of"),
        ("MODEL.IMRSF.DEPTH", 6, "OUT_LAYERS is .2, 5, 8, 11., expected blocks from 0 to MODEL.IMRSF.DEPTH - 1 = 5"),
        (
            "MODEL.IMRSF.DEPTH",
            14,
            "OUT_LAYERS is .2, 5, 8, 11., expected the last block among them, MODEL.IMRSF.DEPTH - 1 = 13",
        ),
        ("MODEL.IMRSF.MIN_VALID", 0.0, "MIN_VALID is 0.0, expected a fraction above 0"),
        ("MODEL.IMRSF.DROP_PATH", 1.0, "DROP_PATH is 1.0, expected a probability of 0 or more and below 1"),
        ("MODEL.IMRSF.GATHER", "sum", "GATHER is 'sum', expected 'bilstm' or 'mean' or 'mean_bilstm' or 'none'"),
        ("MODEL.IMRSF.READOUT", "tokens", "READOUT is 'tokens', expected 'fusion' or 'modalities'"),
        ("MODEL.IMRSF.READOUT", "modalities", "GATHER is 'bilstm', expected 'none' with MODEL.IMRSF.READOUT 'modalities'"),
        ("MODEL.IMRSF.MASKED_BLOCKS", 13, "MASKED_BLOCKS is 13, expected -1, or 0 to MODEL.IMRSF.DEPTH = 12"),
        ("MODEL.IMRSF.DETAIL", -1, "DETAIL is -1, expected a number of channels, or 0"),
        ("MODEL.IMRSF.ABSENT", "drop", "ABSENT is 'drop', expected 'skip' or 'zeros'"),
        ("SOLVER.AMP.PRECISION", "fp8", "AMP.PRECISION is 'fp8', expected 'bf16' or 'fp16'"),
        ("SOLVER.ACCUMULATE", 3, "ACCUMULATE is 3, expected a divisor of SOLVER.IMS_PER_BATCH = 16"),
        ("SOLVER.ACCUMULATE", 0, "ACCUMULATE is 0"),
        ("SOLVER.STEPS", (60, 40), "STEPS is .60, 40., expected iterations above 0 in increasing order"),
        ("SOLVER.STEPS", (0, 40), "STEPS is .0, 40., expected"),
        ("SOLVER.EMA", 1.0, "EMA is 1.0, expected a decay of 0 or more and below 1"),
        ("INPUT.MODALITY_DROPOUT.STRATEGY", "some", "STRATEGY is 'some', expected 'uniform' or 'uniform_size'"),
        (
            "INPUT.SCALE_JITTER",
            [2.0, 0.5],
            r"SCALE_JITTER is \[2.0, 0.5\], expected \[smallest, largest\] with 0.1 <= smallest",
        ),
        ("INPUT.SCALE_JITTER", [0.0, 2.0], "SCALE_JITTER"),
        ("INPUT.SCALE_JITTER", ["a", "b"], "SCALE_JITTER"),
        ("INPUT.PHOTOMETRIC", [{"NAME": "sar", "GAIN": 2}], "INPUT.PHOTOMETRIC: entry .*'GAIN'"),
        (
            "INPUT.TEST_MODALITIES",
            ["rgb", "lidar"],
            "TEST_MODALITIES names the unknown modality 'lidar'; .*has .'sar', 'rgb'",
        ),
    ],
)
def test_contradictions_are_refused(cfg, key, value, message):
    change(cfg, {key: value})
    with pytest.raises(ValueError, match=message):
        finalize_config(cfg)


def test_more_detections_than_candidates_are_refused(cfg):
    change(
        cfg,
        {
            "MODEL.META_ARCHITECTURE": "MaskFormer",
            "MODEL.MASK_FORMER.TEST.INSTANCE_ON": True,
            "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES": 20,
            "MODEL.SEM_SEG_HEAD.NUM_CLASSES": 1,
            "TEST.DETECTIONS_PER_IMAGE": 100,
        },
    )
    with pytest.raises(ValueError, match="DETECTIONS_PER_IMAGE is 100, expected at most the 20 candidates"):
        finalize_config(cfg)


# Pre-training

PRETRAIN = "MODEL.IMRSF.PRETRAIN"


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("MODEL.IMRSF.ABSENT", "zeros", "MODEL.IMRSF.ABSENT is 'zeros', expected 'skip' in pre-training"),
        ("MODEL.IMRSF.FREEZE", True, "MODEL.IMRSF.FREEZE is True, expected False in pre-training"),
        (f"{PRETRAIN}.VISIBLE_TOKENS", 0, f"{PRETRAIN}.VISIBLE_TOKENS is 0, expected 1 or more"),
        (
            f"{PRETRAIN}.VISIBLE_TOKENS",
            12,
            rf"{PRETRAIN}.VISIBLE_TOKENS is 12, expected fewer than the 12 patches that 2 "
            r"modalities have in a crop of INPUT.CROP.SIZE = \[32, 33\]",
        ),
        (f"{PRETRAIN}.ALPHA", 0.0, f"{PRETRAIN}.ALPHA is 0.0, expected a number above 0"),
        (f"{PRETRAIN}.DECODER_DEPTH", -1, f"{PRETRAIN}.DECODER_DEPTH is -1, expected 0 or more"),
        (f"{PRETRAIN}.DECODER_HEADS", 0, f"{PRETRAIN}.DECODER_HEADS is 0, expected 1 or more"),
        (f"{PRETRAIN}.DECODER_HEADS", 3, f"DECODER_DIM is 256, expected a multiple of {PRETRAIN}.DECODER_HEADS = 3"),
        (f"{PRETRAIN}.DECODER_DIM", 0, f"{PRETRAIN}.DECODER_DIM is 0"),
        (f"{PRETRAIN}.CONTRASTIVE.WEIGHT", -0.1, f"{PRETRAIN}.CONTRASTIVE.WEIGHT is -0.1, expected 0 or more"),
        (f"{PRETRAIN}.CONTRASTIVE.TEMPERATURE", 0.0, f"{PRETRAIN}.CONTRASTIVE.TEMPERATURE is 0.0, expected a number above"),
        (f"{PRETRAIN}.CONTRASTIVE.DIM", 0, f"{PRETRAIN}.CONTRASTIVE.DIM is 0, expected 1 or more"),
        (f"{PRETRAIN}.PICTURES.PERIOD", -1, f"{PRETRAIN}.PICTURES.PERIOD is -1, expected 0 or more"),
        (f"{PRETRAIN}.PICTURES.SAMPLES", 0, f"{PRETRAIN}.PICTURES.SAMPLES is 0, expected 1 or more"),
        (f"{PRETRAIN}.RECONSTRUCTION", [{"NAME": "sar", "LOSS": "ce"}], "RECONSTRUCTION: LOSS of 'sar' is 'ce'"),
    ],
)
def test_contradictions_of_a_pretraining_are_refused(cfg, key, value, message):
    change(
        cfg,
        {
            "MODEL.META_ARCHITECTURE": PRETRAINING,
            "MODEL.IMRSF.DEPTH": 14,  # beyond OUT_LAYERS, which make maps
            "INPUT.CROP.ENABLED": True,
            "INPUT.CROP.TYPE": "absolute",
            "INPUT.CROP.SIZE": [32, 33],
            f"{PRETRAIN}.VISIBLE_TOKENS": 11,
        },
    )
    finalize_config(cfg.clone())  # nothing else is wrong
    change(cfg, {key: value})
    with pytest.raises(ValueError, match=message):
        finalize_config(cfg)


JUDGED = ModalitySet([Modality("sar", 1), Modality("map", classes=3)])


@pytest.mark.parametrize(
    "entries, message",
    [
        (["sar"], "entry 'sar', expected a mapping with NAME and any of LOSS and WEIGHT"),
        ([{"LOSS": "l1"}], "expected a mapping with NAME"),
        ([{"NAME": "sar", "SCALE": 2}], "entry .*'SCALE'.*, expected a mapping with NAME and any of LOSS and WEIGHT"),
        ([{"NAME": "sar"}, {"NAME": "sar"}], "names the modality 'sar', twice"),
        ([{"NAME": "dsm"}], r"names the modality 'dsm', which is not in MODEL.IMRSF.MODALITIES \['sar', 'map'\]"),
        ([{"NAME": "sar", "LOSS": "ce"}], "LOSS of 'sar' is 'ce', expected 'mse' or 'l1'"),
        ([{"NAME": "map", "LOSS": "mse"}], "LOSS of 'map' is 'mse', expected 'ce'"),
        ([{"NAME": "sar", "WEIGHT": -1}], "WEIGHT of 'sar' is -1, expected a number of 0 or more"),
        ([{"NAME": "sar", "WEIGHT": True}], "WEIGHT of 'sar' is True, expected a number"),
        ([{"NAME": "sar", "WEIGHT": "1"}], "WEIGHT of 'sar' is '1', expected a number"),
    ],
)
def test_reconstructions_that_cannot_be_are_refused(entries, message):
    with pytest.raises(ValueError, match=rf"MODEL\.IMRSF\.PRETRAIN\.RECONSTRUCTION.*{message}"):
        read_reconstructions(entries, JUDGED)


def test_reconstructions_that_are_not_given_have_their_defaults():
    assert read_reconstructions([], JUDGED) == {"sar": Reconstruction("mse", 1.0), "map": Reconstruction("ce", 1.0)}
    given = [{"NAME": "map", "WEIGHT": 0}, {"NAME": "sar", "LOSS": "l1"}]
    assert read_reconstructions(given, JUDGED) == {"sar": Reconstruction("l1", 1.0), "map": Reconstruction("ce", 0.0)}
