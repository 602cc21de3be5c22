"""Every configuration key of imrsf_d2, its default and its meaning. Nowhere else is a default written down."""

from __future__ import annotations

import math
from collections.abc import Callable

from detectron2.config import CfgNode as CN

from imrsf_d2.data.modality_dropout import STRATEGIES
from imrsf_d2.data.photometric import read_jitters
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.reconstruction import read_reconstructions
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.precision import DTYPES

__all__ = ["PRETRAINING", "add_imrsf_config", "finalize_config"]

#: MODEL.META_ARCHITECTURE of pre-training.
PRETRAINING = "IncompleteMultimodalMAE"


def add_imrsf_config(cfg: CN) -> None:
    """Add the keys of imrsf_d2 to a config that already went through Mask2Former's `add_maskformer2_config`."""
    # ---- model -----------------------------------------------------------------------------------------------------
    imrsf = cfg.MODEL.IMRSF = CN()
    # The modalities in order: a list of mappings with the keys NAME, CHANNELS, CLASSES (categorical), MEAN, STD,
    # TRANSFORM ("none" or "db"), CLIP and NODATA, explained in imrsf_d2.modalities.Modality. All but NODATA, which is a
    # number as the files store it, are in the unit that a file's SCALE and OFFSET (GDAL's metadata) make, where it has any.
    imrsf.MODALITIES = []
    # Side of a square patch, in pixels; a power of two.
    imrsf.PATCH_SIZE = 16
    # Width D of a token. Divisible by 4 (position embedding) and by NUM_HEADS.
    imrsf.EMBED_DIM = 768
    # Transformer blocks, attention heads in each, and width of the block's MLP as a multiple of EMBED_DIM.
    imrsf.DEPTH = 12
    imrsf.NUM_HEADS = 12
    imrsf.MLP_RATIO = 4.0
    # Stochastic depth: probability of skipping the last block's branches for a sample; grows linearly from 0.
    imrsf.DROP_PATH = 0.0
    # The blocks (counted from 0) whose fusion tokens feed the maps OUT_FEATURES, one each, in the same order.
    imrsf.OUT_LAYERS = [2, 5, 8, 11]
    imrsf.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    # Gather the modalities into the fusion tokens by Bi-LSTM attention before the first block (eqs. 2-3).
    imrsf.BILSTM = True
    # Keep each modality's stream pure; False lets every token attend to every other (the paper's w/o-mask ablation).
    imrsf.MASKED_ATTENTION = True
    # A patch of a modality is present when at least this share of its pixels is valid.
    imrsf.MIN_VALID = 0.5
    # What becomes of an absent modality: "skip" computes none of its tokens; "zeros" feeds it as a mean-valued image,
    # as models that know nothing of missing sensors do (the MultiViT baseline).
    imrsf.ABSENT = "skip"
    # Keep of each encoder block only its input for the backward pass and compute the rest again: less memory, more
    # time, the same numbers.
    imrsf.CHECKPOINT_BLOCKS = False

    # Keep the encoder as it was loaded and train the rest, the maps made of its fusion tokens too (the paper's partial
    # fine-tuning). Every frozen parameter must come from MODEL.WEIGHTS.
    imrsf.FREEZE = False

    # ---- pre-training: MODEL.META_ARCHITECTURE IncompleteMultimodalMAE ------------------------------------------------
    pretrain = imrsf.PRETRAIN = CN()
    # Patches that the encoder sees of each sample, all modalities together; all of them if a sample has no more, which
    # then has none to reconstruct.
    pretrain.VISIBLE_TOKENS = 256
    # Of the symmetric Dirichlet law by which the modalities share them: 1 makes all divisions equally likely, large
    # values divide evenly, small ones leave nearly everything to one modality.
    pretrain.ALPHA = 1.0
    # Width, Transformer blocks and attention heads of each modality's decoder.
    pretrain.DECODER_DIM = 256
    pretrain.DECODER_DEPTH = 2
    pretrain.DECODER_HEADS = 8
    # Reconstruct measurements with each patch's own mean and deviation taken out.
    pretrain.NORMALIZE_PATCHES = False
    # Loss of each modality's reconstruction (eq. 5) and its weight in the sum (eq. 7): a list of mappings with the keys
    # NAME (of a modality), LOSS ("mse" or "l1"; "ce", and nothing else, for a map) and WEIGHT. What is not given is
    # "mse", or "ce" for a map, and 1.
    pretrain.RECONSTRUCTION = []
    # Contrastive loss between each modality and the fusion tokens (eq. 6): its weight in the sum (0: not computed), the
    # temperature that cosines are divided by, and the width in which they are taken.
    pretrain.CONTRASTIVE = CN()
    pretrain.CONTRASTIVE.WEIGHT = 0.0
    pretrain.CONTRASTIVE.TEMPERATURE = 0.1
    pretrain.CONTRASTIVE.DIM = 256
    # Pictures of reconstructions: every how many iterations (0: never), and of how many samples of DATASETS.TEST, or of
    # DATASETS.TRAIN if that is empty.
    pretrain.PICTURES = CN()
    pretrain.PICTURES.PERIOD = 1000
    pretrain.PICTURES.SAMPLES = 4

    # ---- training --------------------------------------------------------------------------------------------------
    # The type that SOLVER.AMP.ENABLED computes in, training and evaluation alike: "bf16" (needs no scaling of the loss;
    # GPUs since Ampere, and CPUs) or "fp16" (older GPUs; no CPU). Weights, gradients and checkpoints stay float32.
    cfg.SOLVER.AMP.PRECISION = "bf16"
    # Micro-batches per step of the optimizer, for a batch that does not fit in memory at once. SOLVER.IMS_PER_BATCH
    # stays what a step sees, all processes and micro-batches together, and must be a multiple of their number.
    # Gradients are those of the micro-batches' mean loss. Mask2Former divides its mask losses by the number of objects
    # in what it is given, so an object in a micro-batch with few of them weighs more than it would in one whole batch.
    cfg.SOLVER.ACCUMULATE = 1

    # Train on this share of the training samples, above 0 and up to 1: a fixed choice at random, the same for every SEED,
    # and a smaller one is part of every larger one. For learning curves and experiments with few labels.
    cfg.DATALOADER.TRAIN_SHARE = 1.0

    # Score label maps on a test set whose labeled pixels are all of one class, where predicting it everywhere is perfect;
    # False refuses, as such labels are nearly always a mistake (masks of 0 and 255, where 255 means "not labeled").
    cfg.TEST.ALLOW_SINGLE_CLASS = False

    # ---- input -----------------------------------------------------------------------------------------------------
    # Training draws a random subset of each sample's modalities before reading them. STRATEGY:
    #   "uniform"       every non-empty subset of what the sample has is equally likely;
    #   "uniform_size"  first the number of modalities, then which: complete input is seen more often.
    cfg.INPUT.MODALITY_DROPOUT = CN()
    cfg.INPUT.MODALITY_DROPOUT.ENABLED = True
    cfg.INPUT.MODALITY_DROPOUT.STRATEGY = "uniform"
    # At test time keep only these modalities, e.g. ["rgb", "dsm"]; empty keeps all.
    cfg.INPUT.TEST_MODALITIES = []
    # Turn and mirror training samples at random by one of the eight symmetries of a square (overhead imagery has no up).
    cfg.INPUT.DIHEDRAL = True
    # Large-scale jitter of training samples: [least, most] factor by which things grow, before INPUT.CROP.SIZE is cut;
    # from 0.1 to 10.
    cfg.INPUT.SCALE_JITTER = [1.0, 1.0]
    # Photometric jitter of training samples: a list of mappings with the keys NAME (of a modality) and any of
    # BRIGHTNESS, CONTRAST (optical), SPECKLE (SAR), OFFSET (elevation), explained in imrsf_d2.data.photometric.Jitter.
    cfg.INPUT.PHOTOMETRIC = []
    # Resample what lies on another pixel grid than the annotations (10 m beside 20 m) through the files' geotransforms:
    # class indices from the nearest pixel, measurements bilinearly. False: sizes that differ are an error, and so are
    # files of one size that say they lie in different places.
    cfg.INPUT.ALIGN = False
    # Without INPUT.ALIGN: take files of one size pixel by pixel wherever they say they lie, because their georeferences
    # are wrong.
    cfg.INPUT.IGNORE_PLACES = False


def finalize_config(cfg: CN) -> None:
    """Derive what follows from other keys and reject contradictions. Call once, after the last merge.

    Sets `MODEL.PIXEL_MEAN` and `MODEL.PIXEL_STD` from the modalities (DESIGN: statistics are never typed twice).

    Raises:
        ValueError: naming the key, what it holds and what was expected.
    """
    imrsf = cfg.MODEL.IMRSF
    modalities = ModalitySet.from_config(cfg)
    modalities.check_subset(cfg.INPUT.TEST_MODALITIES, "INPUT.TEST_MODALITIES")

    def expect(ok: bool, key: str, value, expected: str) -> None:
        if not ok:
            raise InputError(f"{key} is {value!r}, expected {expected}.")

    patch = imrsf.PATCH_SIZE
    expect(patch > 0 and patch & (patch - 1) == 0, "MODEL.IMRSF.PATCH_SIZE", patch, "a power of two")
    expect(imrsf.EMBED_DIM % 4 == 0, "MODEL.IMRSF.EMBED_DIM", imrsf.EMBED_DIM, "a multiple of 4")
    expect(
        imrsf.EMBED_DIM % imrsf.NUM_HEADS == 0,
        "MODEL.IMRSF.EMBED_DIM",
        imrsf.EMBED_DIM,
        f"a multiple of MODEL.IMRSF.NUM_HEADS = {imrsf.NUM_HEADS}",
    )
    expect(
        len(imrsf.OUT_LAYERS) == len(imrsf.OUT_FEATURES),
        "MODEL.IMRSF.OUT_LAYERS",
        imrsf.OUT_LAYERS,
        f"one block for each of MODEL.IMRSF.OUT_FEATURES = {imrsf.OUT_FEATURES}",
    )
    expect(
        all(0 <= layer < imrsf.DEPTH for layer in imrsf.OUT_LAYERS),
        "MODEL.IMRSF.OUT_LAYERS",
        imrsf.OUT_LAYERS,
        f"blocks from 0 to MODEL.IMRSF.DEPTH - 1 = {imrsf.DEPTH - 1}",
    )
    expect(0.0 < imrsf.MIN_VALID <= 1.0, "MODEL.IMRSF.MIN_VALID", imrsf.MIN_VALID, "a share above 0 and up to 1")
    expect(0.0 <= imrsf.DROP_PATH < 1.0, "MODEL.IMRSF.DROP_PATH", imrsf.DROP_PATH, "a probability below 1")
    expect(imrsf.ABSENT in ("skip", "zeros"), "MODEL.IMRSF.ABSENT", imrsf.ABSENT, "'skip' or 'zeros'")
    solver = cfg.SOLVER
    expect(solver.AMP.PRECISION in DTYPES, "SOLVER.AMP.PRECISION", solver.AMP.PRECISION, " or ".join(map(repr, DTYPES)))
    expect(
        solver.ACCUMULATE >= 1 and solver.IMS_PER_BATCH % solver.ACCUMULATE == 0,
        "SOLVER.ACCUMULATE",
        solver.ACCUMULATE,
        f"a divisor of SOLVER.IMS_PER_BATCH = {solver.IMS_PER_BATCH}",
    )
    expect(
        not (imrsf.FREEZE and cfg.MODEL.META_ARCHITECTURE == PRETRAINING),
        "MODEL.IMRSF.FREEZE",
        imrsf.FREEZE,
        "False in pre-training, which trains the encoder",
    )
    expect(
        0.0 < cfg.DATALOADER.TRAIN_SHARE <= 1.0,
        "DATALOADER.TRAIN_SHARE",
        cfg.DATALOADER.TRAIN_SHARE,
        "a share above 0 and up to 1",
    )
    strategy = cfg.INPUT.MODALITY_DROPOUT.STRATEGY
    expect(strategy in STRATEGIES, "INPUT.MODALITY_DROPOUT.STRATEGY", strategy, " or ".join(map(repr, STRATEGIES)))
    scale = cfg.INPUT.SCALE_JITTER
    expect(
        len(scale) == 2 and all(isinstance(factor, (int, float)) for factor in scale) and 0.1 <= scale[0] <= scale[1] <= 10,
        "INPUT.SCALE_JITTER",
        scale,
        "[least, most] with 0.1 <= least <= most <= 10",
    )
    read_jitters(cfg.INPUT.PHOTOMETRIC, modalities)
    if cfg.MODEL.META_ARCHITECTURE == PRETRAINING:
        _check_pretraining(cfg, modalities, expect)
    if cfg.MODEL.META_ARCHITECTURE == "MaskFormer" and cfg.MODEL.MASK_FORMER.TEST.INSTANCE_ON:
        # MaskFormer takes a top-k over queries x classes and fails deep inside when there are fewer.
        candidates = cfg.MODEL.MASK_FORMER.NUM_OBJECT_QUERIES * cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        expect(
            cfg.TEST.DETECTIONS_PER_IMAGE <= candidates,
            "TEST.DETECTIONS_PER_IMAGE",
            cfg.TEST.DETECTIONS_PER_IMAGE,
            f"at most queries x classes = {candidates}",
        )
    cfg.MODEL.PIXEL_MEAN = modalities.pixel_mean
    cfg.MODEL.PIXEL_STD = modalities.pixel_std


def _check_pretraining(cfg: CN, modalities: ModalitySet, expect: Callable[[bool, str, object, str], None]) -> None:
    """Reject contradictions among the keys of pre-training."""
    pretrain, key = cfg.MODEL.IMRSF.PRETRAIN, "MODEL.IMRSF.PRETRAIN"
    read_reconstructions(pretrain.RECONSTRUCTION, modalities)
    expect(
        cfg.MODEL.IMRSF.ABSENT == "skip",
        "MODEL.IMRSF.ABSENT",
        cfg.MODEL.IMRSF.ABSENT,
        "'skip' for pre-training: what is hidden must not be computed",
    )
    expect(pretrain.VISIBLE_TOKENS >= 1, f"{key}.VISIBLE_TOKENS", pretrain.VISIBLE_TOKENS, "a number above 0")
    crop, patch = cfg.INPUT.CROP, cfg.MODEL.IMRSF.PATCH_SIZE
    if crop.ENABLED and crop.TYPE == "absolute":
        tokens = len(modalities) * math.prod(math.ceil(side / patch) for side in crop.SIZE)
        expect(
            pretrain.VISIBLE_TOKENS < tokens,
            f"{key}.VISIBLE_TOKENS",
            pretrain.VISIBLE_TOKENS,
            f"fewer than the {tokens} patches of {len(modalities)} modalities in INPUT.CROP.SIZE = {list(crop.SIZE)}: "
            "nothing would be left to reconstruct",
        )
    expect(pretrain.ALPHA > 0, f"{key}.ALPHA", pretrain.ALPHA, "a number above 0")
    expect(pretrain.DECODER_DEPTH >= 0, f"{key}.DECODER_DEPTH", pretrain.DECODER_DEPTH, "0 or more")
    expect(pretrain.DECODER_HEADS >= 1, f"{key}.DECODER_HEADS", pretrain.DECODER_HEADS, "1 or more")
    expect(
        pretrain.DECODER_DIM >= 1 and pretrain.DECODER_DIM % pretrain.DECODER_HEADS == 0,
        f"{key}.DECODER_DIM",
        pretrain.DECODER_DIM,
        f"a multiple of {key}.DECODER_HEADS = {pretrain.DECODER_HEADS}",
    )
    contrastive = pretrain.CONTRASTIVE
    expect(contrastive.WEIGHT >= 0, f"{key}.CONTRASTIVE.WEIGHT", contrastive.WEIGHT, "0 or more")
    expect(contrastive.TEMPERATURE > 0, f"{key}.CONTRASTIVE.TEMPERATURE", contrastive.TEMPERATURE, "a number above 0")
    expect(contrastive.DIM >= 1, f"{key}.CONTRASTIVE.DIM", contrastive.DIM, "a width of 1 or more")
    expect(pretrain.PICTURES.PERIOD >= 0, f"{key}.PICTURES.PERIOD", pretrain.PICTURES.PERIOD, "0 or more")
    expect(pretrain.PICTURES.SAMPLES >= 1, f"{key}.PICTURES.SAMPLES", pretrain.PICTURES.SAMPLES, "1 or more")
