"""What the pre-training demo trains: the encoder in two ways, then one model from several starts.

All other settings are in projects/study/configs/pretrain_demo.
"""

from __future__ import annotations

from projects.study.plan import Model

__all__ = ["DATA", "FROM_G", "FROM_GC", "FROM_VARIANTS", "G", "GC", "PARTIAL", "PRETRAININGS", "SCRATCH", "STARTS", "TENTH"]

FREEZE, MULTIPLIER = "MODEL.IMRSF.FREEZE", "SOLVER.BACKBONE_MULTIPLIER"
PICTURES = "MODEL.IMRSF.PRETRAIN.PICTURES.PERIOD"

G = Model("g", "G", (), seeds=(1,))
GC = Model("gc", "G & C", ("MODEL.IMRSF.PRETRAIN.CONTRASTIVE.WEIGHT",), seeds=(1,))
#: What the paper allows, or says in one place and contradicts in another, or may have had more of.
VARIANTS = (
    Model("g_random", "G, random combination", ("INPUT.MODALITY_DROPOUT.ENABLED",), seeds=(1,)),
    Model("g_cross", "G, cross-attention before the decoders", ("MODEL.IMRSF.PRETRAIN.CROSS_ATTENTION",), seeds=(1,)),
    Model("g_longer", "G, three times as long", ("SOLVER.MAX_ITER", "SOLVER.CHECKPOINT_PERIOD", PICTURES), seeds=(1,)),
)
PRETRAININGS = (G, GC, *VARIANTS)

SCRATCH = Model("scratch", "random weights", (), seeds=(1, 2, 3))
FROM_G = Model("finetune_g", "G", (), seeds=(1, 2, 3), origin=G)
FROM_GC = Model("finetune_gc", "G & C", (), seeds=(1, 2, 3), origin=GC)
TENTH = Model("finetune_gc_tenth", "G & C, encoder at a tenth of the rate", (MULTIPLIER,), seeds=(1,), origin=GC)
PARTIAL = Model("partial", "G & C, frozen", (FREEZE,), seeds=(1,), origin=GC)
FROM_VARIANTS = tuple(Model(f"finetune_{g.name}", g.title, (), seeds=(1, 2, 3), origin=g) for g in VARIANTS)
STARTS = (SCRATCH, FROM_G, FROM_GC, *FROM_VARIANTS, TENTH, PARTIAL)

#: The synthetic data in the layout of DFC2023, as in `plan.DATA`: every sensor misses some buildings, and SAR is sharp enough to
#: show what the others miss.
DATA = {
    "num_train": 400,
    "num_val": 200,
    "size": 64,
    "seed": 0,
    "scene": {"camouflage": 0.25, "unsurveyed": 0.15, "decoys": [1.0, 4.0], "groves": [3.0, 7.0]},
    "sensors": {"sar_looks": 24.0, "sar_cell_px": 2, "sar_shift_px": 1.0, "sar_wall": 2.0, "sar_wall_spread": 0.4},
}
