"""Every configuration key of imrsf_d2 with its default and meaning; defaults are written nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable

from detectron2.config import CfgNode as CN

from imrsf_d2.data.modality_dropout import STRATEGIES, VIEWS
from imrsf_d2.data.photometric import read_jitters
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.encoder import READOUTS
from imrsf_d2.modeling.gather import GATHERS
from imrsf_d2.modeling.pyramid_checks import check_pyramid
from imrsf_d2.modeling.reconstruction import read_reconstructions
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.precision import DTYPES

__all__ = ["PRETRAINING", "add_imrsf_config", "finalize_config"]

#: MODEL.META_ARCHITECTURE of pre-training.
PRETRAINING = "IncompleteMultimodalMAE"


def add_imrsf_config(cfg: CN) -> None:
    """Add the keys of imrsf_d2 to a config that already went through Mask2Former's `add_maskformer2_config`."""
    # The comment directly above a key is its entry in the configuration reference: one comment for each key.

    # ---- Model -----------------------------------------------------------------------------------------------------
    imrsf = cfg.MODEL.IMRSF = CN()
    # The modalities in order: a list of mappings with the keys NAME, CHANNELS, BANDS (which bands of a file, by number or
    # description; all without it), CLASSES (categorical), CODES (what the numbers in a categorical modality's files stand
    # for, e.g. {10: 0, 20: 1}; without it, they are class indices), MEAN, STD, TRANSFORM ("none" or "db"), CLIP, NODATA, and
    # for figures UNIT, DISPLAY (the bands to show) and CLASS_NAMES; imrsf_d2.modalities.Modality explains them. UNIT: dB without
    # TRANSFORM also says that files hold decibels, which are averaged as the powers that they stand for. Values are in the unit
    # that results from a file's SCALE and OFFSET (GDAL metadata), if it has any; only NODATA is the number stored in the file.
    imrsf.MODALITIES = []
    # Side length of a square patch in pixels; a power of two.
    imrsf.PATCH_SIZE = 16
    # Token width D. Must be divisible by 4 (position embedding) and by NUM_HEADS.
    imrsf.EMBED_DIM = 768
    # Number of Transformer blocks.
    imrsf.DEPTH = 12
    # Attention heads in each block.
    imrsf.NUM_HEADS = 12
    # Width of a block's MLP as a multiple of EMBED_DIM.
    imrsf.MLP_RATIO = 4.0
    # Stochastic depth: the probability that a sample skips the last block's branches; it grows linearly from 0 in the first.
    imrsf.DROP_PATH = 0.0
    # The blocks (counted from 0) whose fusion tokens become the feature maps OUT_FEATURES, in the same order.
    imrsf.OUT_LAYERS = [2, 5, 8, 11]
    # Names of the feature maps; res2 has stride 4, res3 stride 8, and so on.
    imrsf.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    # Of build_imrsf_vit_simple_pyramid_backbone: how many times finer (4, 2), as fine (1) or coarser (0.5) than the map
    # MODEL.FPN.IN_FEATURES its maps p2, p3, ... are, from fine to coarse.
    imrsf.SCALE_FACTORS = [4.0, 2.0, 1.0, 0.5]
    # What each fusion token gathers from the modalities that are present at its place, before the first block: "bilstm", the
    # paper's Bi-LSTM attention (eqs. 2-3); "mean", the mean of their tokens, added to the fusion token; "mean_bilstm", the mean
    # and the Bi-LSTM attention as a correction; "none", nothing (the paper's "w/o LSTM" ablation).
    imrsf.GATHER = "bilstm"
    # Let a modality's tokens attend only to each other (eq. 4). False lets every token attend to every other one (the
    # paper's "w/o mask" ablation).
    imrsf.MASKED_ATTENTION = True
    # With MASKED_ATTENTION: only this many of the first blocks follow eq. 4, and the others have full attention; -1 for all. Only
    # with eq. 4 in every block does a sweep over subsets compute each modality once.
    imrsf.MASKED_BLOCKS = -1
    # What the feature maps are made of: "fusion", the fusion tokens (the paper's); "modalities", at each place the mean of the
    # tokens of the modalities that are present there, without any fusion token among the tokens that attend (as MultiMAE is
    # read out; requires GATHER "none").
    imrsf.READOUT = "fusion"
    # Channels of each modality's own convolutions at a quarter of the resolution, whose mean over the modalities that are present
    # is added to the feature maps of stride 4 and 8: details that are smaller than a patch. 0 for none, as in the paper.
    imrsf.DETAIL = 0
    # A patch of a modality counts as present when at least this fraction of its pixels is valid.
    imrsf.MIN_VALID = 0.5
    # How a missing modality is handled: "skip" computes no tokens for it; "zeros" feeds an image of the training mean, as
    # models without any notion of missing sensors do (the MultiViT baseline).
    imrsf.ABSENT = "skip"
    # Activation checkpointing: keep only each encoder block's input and recompute the rest in the backward pass. Less
    # memory, more time, the same results.
    imrsf.CHECKPOINT_BLOCKS = False
    # Freeze the encoder and train everything else, including the layers that turn fusion tokens into feature maps (the
    # paper's partial fine-tuning). MODEL.WEIGHTS must provide every frozen parameter.
    imrsf.FREEZE = False

    cfg.register_renamed_key(
        "MODEL.IMRSF.BILSTM",
        "MODEL.IMRSF.GATHER",
        'GATHER: "bilstm" is what BILSTM: true was, GATHER: "none" what false was.',
    )

    # ---- Pre-training (MODEL.META_ARCHITECTURE: IncompleteMultimodalMAE) ---------------------------------------------
    pretrain = imrsf.PRETRAIN = CN()
    # Number of patches per sample that the encoder sees, over all modalities. A sample with no more patches than this
    # shows them all and has nothing to reconstruct.
    pretrain.VISIBLE_TOKENS = 256
    # Concentration of the symmetric Dirichlet distribution that divides the visible patches among the modalities: 1 makes
    # all divisions equally likely, larger values favor even ones, smaller values favor a single modality.
    pretrain.ALPHA = 1.0
    # Token width of each modality's decoder.
    pretrain.DECODER_DIM = 256
    # Transformer blocks in each modality's decoder.
    pretrain.DECODER_DEPTH = 2
    # Attention heads in each block of a decoder.
    pretrain.DECODER_HEADS = 8
    # What the decoders read: the fusion tokens after a cross-attention of their own to all visible tokens, which is dropped after
    # pre-training (section III-D), or the encoder's fusion tokens (section IV-A4).
    pretrain.CROSS_ATTENTION = False
    # Normalize the measurements to be reconstructed by each patch's own mean and standard deviation.
    pretrain.NORMALIZE_PATCHES = False
    # Reconstruction loss of each modality (eq. 5) and its weight in the total (eq. 7): a list of mappings with the keys
    # NAME (of a modality), LOSS ("mse" or "l1" for measurements, "ce" for categorical modalities) and WEIGHT. The
    # defaults are "mse" ("ce" if categorical) and 1.
    pretrain.RECONSTRUCTION = []
    # Contrastive loss between each modality and the fusion tokens (eq. 6).
    pretrain.CONTRASTIVE = CN()
    # Weight of the contrastive loss in the total (eq. 7); 0 leaves it out.
    pretrain.CONTRASTIVE.WEIGHT = 0.0
    # Temperature by which cosine similarities are divided.
    pretrain.CONTRASTIVE.TEMPERATURE = 0.1
    # Width of the vectors that are compared.
    pretrain.CONTRASTIVE.DIM = 256
    # Figures of reconstructions during pre-training.
    pretrain.PICTURES = CN()
    # Draw them every this many iterations; 0 draws none.
    pretrain.PICTURES.PERIOD = 1000
    # Number of samples to draw, taken from DATASETS.TEST, or from DATASETS.TRAIN if that is empty.
    pretrain.PICTURES.SAMPLES = 4

    # ---- Training --------------------------------------------------------------------------------------------------
    # Data type that SOLVER.AMP.ENABLED computes in, in training and evaluation: "bf16" (needs no loss scaling; GPUs since
    # Ampere, and CPUs) or "fp16" (older GPUs; not on CPUs). Weights, gradients and checkpoints stay float32.
    cfg.SOLVER.AMP.PRECISION = "bf16"
    # Gradient accumulation: micro-batches per optimizer step, for batches that do not fit in memory. SOLVER.IMS_PER_BATCH
    # remains the number of samples per step, over all processes and micro-batches, and must be divisible by this number.
    # Gradients are those of the mean of the micro-batches' losses. Mask2Former divides its mask losses by the number of
    # objects in a micro-batch, so objects in micro-batches with few of them weigh more than in one whole batch.
    cfg.SOLVER.ACCUMULATE = 1
    # Decay of an exponential moving average of the weights, e.g. 0.999, below 1; 0 for none. A training run ends with the average:
    # its model_final.pth holds it, and the last evaluation scores it. Evaluations before that score the weights themselves.
    cfg.SOLVER.EMA = 0.0
    # Fraction of the training samples to use, above 0 and up to 1. The choice is random but does not depend on SEED, and
    # smaller fractions are contained in larger ones: for learning curves and experiments with few labels.
    cfg.DATALOADER.TRAIN_SHARE = 1.0
    # Evaluate semantic segmentation even if all labeled pixels of a test set have the same class, where predicting it
    # everywhere is perfect. False refuses: such labels are nearly always a mistake (masks of 0 and 255 where 255 means
    # "unlabeled").
    cfg.TEST.ALLOW_SINGLE_CLASS = False

    # Names and colors of the model's classes, in the order of their indices: a list of mappings with the keys NAME and COLOR
    # ([red, green, blue], 0 to 255), and THING (true) for the objects of a panoptic model. Taken from the dataset.yaml of the
    # datasets, if they have one, so that the config.yaml of a training run names the classes of its maps wherever the dataset is.
    cfg.DATASETS.CLASSES = []

    # ---- Input -----------------------------------------------------------------------------------------------------
    # Random modality combination: in training, keep a random subset of each sample's modalities; the others are not read.
    cfg.INPUT.MODALITY_DROPOUT = CN()
    # Whether to draw subsets at all.
    cfg.INPUT.MODALITY_DROPOUT.ENABLED = True
    # "uniform" makes every non-empty subset of a sample's modalities equally likely; "uniform_size" first draws the number
    # of modalities and then which ones, so complete input is seen more often.
    cfg.INPUT.MODALITY_DROPOUT.STRATEGY = "uniform"
    # The views of each sample in an iteration, which differ in the modalities that they keep: "drawn", by STRATEGY; "complete", all;
    # "incomplete", by STRATEGY but not all. With several, e.g. ["complete", "incomplete"], an iteration reads SOLVER.IMS_PER_BATCH
    # samples and trains on so many times the number of views (in the trainer of imrsf_d2, not in others).
    cfg.INPUT.MODALITY_DROPOUT.VIEWS = ["drawn"]
    # At test time use only these modalities, e.g. ["rgb", "dsm"]; empty uses all.
    cfg.INPUT.TEST_MODALITIES = []
    # Rotate and flip training samples by a random one of the eight symmetries of the square (overhead imagery has no
    # preferred orientation).
    cfg.INPUT.DIHEDRAL = True
    # Large-scale jitter of training samples: [smallest, largest] zoom factor, between 0.1 and 10, applied before a crop of
    # INPUT.CROP.SIZE is taken.
    cfg.INPUT.SCALE_JITTER = [1.0, 1.0]
    # Photometric jitter of training samples: a list of mappings with the keys NAME (of a modality) and any of BRIGHTNESS,
    # CONTRAST (optical), SPECKLE (SAR) and OFFSET (elevation); imrsf_d2.data.photometric.Jitter explains them.
    cfg.INPUT.PHOTOMETRIC = []
    # Resample rasters whose pixel grid differs from that of the annotations (10 m and 20 m bands, say), using their
    # geotransforms: class indices by nearest neighbor, measurements bilinearly. False raises an error if sizes differ, or
    # if files of equal size are georeferenced to different places.
    cfg.INPUT.ALIGN = False
    # Without INPUT.ALIGN: match files of equal size pixel by pixel whatever their georeferences say, because these are
    # wrong.
    cfg.INPUT.IGNORE_PLACES = False


def finalize_config(cfg: CN) -> None:
    """Derive values from other keys and reject contradictions. Call it once, after the last merge.

    Sets `MODEL.PIXEL_MEAN` and `MODEL.PIXEL_STD` from the modalities, so that statistics are written in one place.

    Raises:
        ValueError: naming the key, its value and what was expected.
    """
    imrsf = cfg.MODEL.IMRSF
    modalities = ModalitySet.from_config(cfg)
    modalities.check_subset(cfg.INPUT.TEST_MODALITIES, "INPUT.TEST_MODALITIES")

    def expect(ok: bool, key: str, value, expected: str) -> None:
        if not ok:
            raise InputError(f"{key} is {value!r}, expected {expected}.")

    patch = imrsf.PATCH_SIZE
    expect(patch > 0 and patch & (patch - 1) == 0, "MODEL.IMRSF.PATCH_SIZE", patch, "a power of two")
    expect(imrsf.NUM_HEADS >= 1, "MODEL.IMRSF.NUM_HEADS", imrsf.NUM_HEADS, "1 or more")
    expect(
        imrsf.EMBED_DIM >= 4 and imrsf.EMBED_DIM % 4 == 0,
        "MODEL.IMRSF.EMBED_DIM",
        imrsf.EMBED_DIM,
        "a multiple of 4, 4 or more",
    )
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
    expect(  # pre-training makes no maps
        imrsf.DEPTH - 1 in imrsf.OUT_LAYERS or cfg.MODEL.META_ARCHITECTURE == PRETRAINING,
        "MODEL.IMRSF.OUT_LAYERS",
        imrsf.OUT_LAYERS,
        f"the last block among them, MODEL.IMRSF.DEPTH - 1 = {imrsf.DEPTH - 1}: blocks after them would be computed for nothing",
    )
    expect(0.0 < imrsf.MIN_VALID <= 1.0, "MODEL.IMRSF.MIN_VALID", imrsf.MIN_VALID, "a fraction above 0 and up to 1")
    expect(0.0 <= imrsf.DROP_PATH < 1.0, "MODEL.IMRSF.DROP_PATH", imrsf.DROP_PATH, "a probability of 0 or more and below 1")
    expect(imrsf.GATHER in GATHERS, "MODEL.IMRSF.GATHER", imrsf.GATHER, " or ".join(map(repr, GATHERS)))
    expect(imrsf.READOUT in READOUTS, "MODEL.IMRSF.READOUT", imrsf.READOUT, " or ".join(map(repr, READOUTS)))
    expect(
        imrsf.READOUT == "fusion" or imrsf.GATHER == "none",
        "MODEL.IMRSF.GATHER",
        imrsf.GATHER,
        f"'none' with MODEL.IMRSF.READOUT {imrsf.READOUT!r}, which has no fusion tokens to gather into",
    )
    expect(
        imrsf.MASKED_BLOCKS == -1 or (imrsf.MASKED_ATTENTION and 0 <= imrsf.MASKED_BLOCKS <= imrsf.DEPTH),
        "MODEL.IMRSF.MASKED_BLOCKS",
        imrsf.MASKED_BLOCKS,
        f"-1, or 0 to MODEL.IMRSF.DEPTH = {imrsf.DEPTH} with MODEL.IMRSF.MASKED_ATTENTION",
    )
    expect(imrsf.DETAIL >= 0, "MODEL.IMRSF.DETAIL", imrsf.DETAIL, "a number of channels, or 0")
    expect(imrsf.ABSENT in ("skip", "zeros"), "MODEL.IMRSF.ABSENT", imrsf.ABSENT, "'skip' or 'zeros'")
    solver = cfg.SOLVER
    expect(solver.AMP.PRECISION in DTYPES, "SOLVER.AMP.PRECISION", solver.AMP.PRECISION, " or ".join(map(repr, DTYPES)))
    expect(
        solver.ACCUMULATE >= 1 and solver.IMS_PER_BATCH % solver.ACCUMULATE == 0,
        "SOLVER.ACCUMULATE",
        solver.ACCUMULATE,
        f"a divisor of SOLVER.IMS_PER_BATCH = {solver.IMS_PER_BATCH}",
    )
    expect(0.0 <= solver.EMA < 1.0, "SOLVER.EMA", solver.EMA, "a decay of 0 or more and below 1")
    expect(
        all(before < step for before, step in zip((0, *solver.STEPS), solver.STEPS)),
        "SOLVER.STEPS",
        solver.STEPS,
        "iterations above 0 in increasing order",
    )
    expect(
        not (imrsf.FREEZE and cfg.MODEL.META_ARCHITECTURE == PRETRAINING),
        "MODEL.IMRSF.FREEZE",
        imrsf.FREEZE,
        "False in pre-training, whose purpose is to train the encoder",
    )
    expect(
        0.0 < cfg.DATALOADER.TRAIN_SHARE <= 1.0,
        "DATALOADER.TRAIN_SHARE",
        cfg.DATALOADER.TRAIN_SHARE,
        "a share above 0 and up to 1",
    )
    strategy = cfg.INPUT.MODALITY_DROPOUT.STRATEGY
    expect(strategy in STRATEGIES, "INPUT.MODALITY_DROPOUT.STRATEGY", strategy, " or ".join(map(repr, STRATEGIES)))
    views = cfg.INPUT.MODALITY_DROPOUT.VIEWS
    expect(
        len(views) > 0 and set(views) <= set(VIEWS),
        "INPUT.MODALITY_DROPOUT.VIEWS",
        views,
        f"a list of {', '.join(map(repr, VIEWS))}",
    )
    scale = cfg.INPUT.SCALE_JITTER
    expect(
        len(scale) == 2 and all(isinstance(factor, (int, float)) for factor in scale) and 0.1 <= scale[0] <= scale[1] <= 10,
        "INPUT.SCALE_JITTER",
        scale,
        "[smallest, largest] with 0.1 <= smallest <= largest <= 10",
    )
    read_jitters(cfg.INPUT.PHOTOMETRIC, modalities)
    if cfg.MODEL.META_ARCHITECTURE == PRETRAINING:
        _check_pretraining(cfg, modalities, expect)
    if cfg.MODEL.META_ARCHITECTURE == "MaskFormer" and cfg.MODEL.MASK_FORMER.TEST.INSTANCE_ON:
        # MaskFormer takes a top-k over queries x classes, and fails deep inside if there are fewer candidates than k.
        candidates = cfg.MODEL.MASK_FORMER.NUM_OBJECT_QUERIES * cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        expect(
            cfg.TEST.DETECTIONS_PER_IMAGE <= candidates,
            "TEST.DETECTIONS_PER_IMAGE",
            cfg.TEST.DETECTIONS_PER_IMAGE,
            f"at most the {candidates} candidates of MODEL.MASK_FORMER.NUM_OBJECT_QUERIES x MODEL.SEM_SEG_HEAD.NUM_CLASSES",
        )
    check_pyramid(cfg)
    cfg.MODEL.PIXEL_MEAN = modalities.pixel_mean
    cfg.MODEL.PIXEL_STD = modalities.pixel_std


def _check_pretraining(cfg: CN, modalities: ModalitySet, expect: Callable[[bool, str, object, str], None]) -> None:
    """Reject contradictions between the keys of pre-training."""
    pretrain, key = cfg.MODEL.IMRSF.PRETRAIN, "MODEL.IMRSF.PRETRAIN"
    read_reconstructions(pretrain.RECONSTRUCTION, modalities)
    expect(
        cfg.MODEL.IMRSF.ABSENT == "skip",
        "MODEL.IMRSF.ABSENT",
        cfg.MODEL.IMRSF.ABSENT,
        "'skip' in pre-training, which must not compute tokens of hidden patches",
    )
    expect(
        cfg.MODEL.IMRSF.READOUT == "fusion",
        "MODEL.IMRSF.READOUT",
        cfg.MODEL.IMRSF.READOUT,
        "'fusion' in pre-training, whose decoders read fusion tokens",
    )
    views = cfg.INPUT.MODALITY_DROPOUT.VIEWS
    expect(
        len(views) == 1, "INPUT.MODALITY_DROPOUT.VIEWS", views, "one view in pre-training, which hides patches of its own"
    )
    expect(pretrain.VISIBLE_TOKENS >= 1, f"{key}.VISIBLE_TOKENS", pretrain.VISIBLE_TOKENS, "1 or more")
    crop, patch = cfg.INPUT.CROP, cfg.MODEL.IMRSF.PATCH_SIZE
    if crop.ENABLED and crop.TYPE == "absolute":
        tokens = len(modalities) * math.prod(math.ceil(side / patch) for side in crop.SIZE)
        expect(
            pretrain.VISIBLE_TOKENS < tokens,
            f"{key}.VISIBLE_TOKENS",
            pretrain.VISIBLE_TOKENS,
            f"fewer than the {tokens} patches that {len(modalities)} modalities have in a crop of INPUT.CROP.SIZE = "
            f"{list(crop.SIZE)}: otherwise nothing is left to reconstruct",
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
    expect(contrastive.DIM >= 1, f"{key}.CONTRASTIVE.DIM", contrastive.DIM, "1 or more")
    expect(pretrain.PICTURES.PERIOD >= 0, f"{key}.PICTURES.PERIOD", pretrain.PICTURES.PERIOD, "0 or more")
    expect(pretrain.PICTURES.SAMPLES >= 1, f"{key}.PICTURES.SAMPLES", pretrain.PICTURES.SAMPLES, "1 or more")
