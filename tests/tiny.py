"""Models and datasets small enough to train for a few iterations in a test."""

from pathlib import Path

from imrsf_d2.synthetic.building_tiles import write_dfc2023
from imrsf_d2.synthetic.land_cover_tiles import write_quadruplets

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO_CONFIG = REPOSITORY / "configs/demo/dfc2023_instance.yaml"
#: One config per task, all small.
DEMO_CONFIGS = {
    "instance": DEMO_CONFIG,
    "semantic": REPOSITORY / "configs/demo/dfc2023_semantic.yaml",
    "lulc": REPOSITORY / "configs/demo/quadruplets_lulc.yaml",
}
SIZE = 64
NUM_TRAIN, NUM_VAL = 4, 2
#: KEY VALUE overrides of the demo's configs, as on a command line.
OVERRIDES = [
    "MODEL.IMRSF.EMBED_DIM",
    "32",
    "MODEL.IMRSF.NUM_HEADS",
    "2",
    "MODEL.IMRSF.DEPTH",
    "2",
    "MODEL.IMRSF.OUT_LAYERS",
    "[0, 0, 1, 1]",
    "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS",
    "1",
    "MODEL.SEM_SEG_HEAD.CONVS_DIM",
    "32",
    "MODEL.SEM_SEG_HEAD.MASK_DIM",
    "32",
    "MODEL.MASK_FORMER.HIDDEN_DIM",
    "32",
    "MODEL.MASK_FORMER.NHEADS",
    "2",
    "MODEL.MASK_FORMER.DEC_LAYERS",
    "2",
    "MODEL.MASK_FORMER.DIM_FEEDFORWARD",
    "32",
    "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES",
    "5",
    "MODEL.MASK_FORMER.TRAIN_NUM_POINTS",
    "64",
    "TEST.DETECTIONS_PER_IMAGE",
    "5",
    "INPUT.CROP.SIZE",
    f"[{SIZE}, {SIZE}]",
    "SOLVER.IMS_PER_BATCH",
    "2",
    "SOLVER.MAX_ITER",
    "4",
    "SOLVER.STEPS",
    "(3,)",
    "SOLVER.WARMUP_ITERS",
    "1",
    "SOLVER.CHECKPOINT_PERIOD",
    "2",
    "DATALOADER.NUM_WORKERS",
    "0",
]
#: Further overrides, which turn these configs into pre-training by reconstruction and contrast.
PRETRAINING = [
    "MODEL.META_ARCHITECTURE",
    "IncompleteMultimodalMAE",
    "INPUT.DATASET_MAPPER_NAME",
    "imrsf_pretrain",
    "INPUT.MODALITY_DROPOUT.ENABLED",
    "False",
    "MODEL.IMRSF.PRETRAIN.VISIBLE_TOKENS",
    "40",
    "MODEL.IMRSF.PRETRAIN.DECODER_DIM",
    "16",
    "MODEL.IMRSF.PRETRAIN.DECODER_HEADS",
    "2",
    "MODEL.IMRSF.PRETRAIN.CONTRASTIVE.WEIGHT",
    "0.1",
    "MODEL.IMRSF.PRETRAIN.CONTRASTIVE.DIM",
    "16",
    "MODEL.IMRSF.PRETRAIN.PICTURES.PERIOD",
    "0",
]


def write_tiny_data(root):
    """Write a DFC2023 and quadruplets below `root`, for DETECTRON2_DATASETS."""
    counts = {"num_train": NUM_TRAIN, "num_val": NUM_VAL, "size": SIZE, "seed": 1, "num_workers": 1}
    write_dfc2023(Path(root) / "dfc2023", train_cities=("Berlin", "NewYork"), val_cities=("Rio", "Sydney"), **counts)
    write_quadruplets(Path(root) / "quadruplets", **counts)
    return root
