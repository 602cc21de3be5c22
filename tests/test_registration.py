"""`import imrsf_d2` is all that a Detectron2 user has to do: names of ours in a config are found, in any order of imports."""

import subprocess
import sys

from tests.tiny import REPOSITORY

ORDERS = (
    "import imrsf_d2",
    "import imrsf_d2, detectron2.modeling, detectron2.data",
    "import detectron2.modeling, detectron2.data, imrsf_d2",
    "import detectron2.data, imrsf_d2, detectron2.modeling",
    "import imrsf_d2.modeling.pretrain",
    "import imrsf_d2.data.loaders",
    "from imrsf_d2 import Modality; import detectron2.engine",
    "import imrsf_d2; from mask2former import MaskFormer",
    "import importlib.util, imrsf_d2; importlib.util.find_spec('detectron2.modeling')",
    "from imrsf_d2 import add_imrsf_config, finalize_config, build_evaluator, build_mapper",
)
#: What a user does with a config that names what is ours.
BUILD = """
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from imrsf_d2.config import add_imrsf_config, finalize_config
cfg = get_cfg()
add_imrsf_config(cfg)
cfg.MODEL.BACKBONE.NAME = "build_imrsf_vit_backbone"
cfg.MODEL.IMRSF.MODALITIES = [{"NAME": "rgb", "CHANNELS": 3}]
cfg.MODEL.IMRSF.EMBED_DIM, cfg.MODEL.IMRSF.DEPTH, cfg.MODEL.IMRSF.NUM_HEADS = 32, 4, 2
cfg.MODEL.IMRSF.OUT_LAYERS = [0, 1, 2, 3]
finalize_config(cfg)
print(type(build_backbone(cfg)).__name__, META_ARCH_REGISTRY.get("IncompleteMultimodalMAE").__name__,
      "quadruplets_val" in DatasetCatalog, flush=True)
"""
#: Each order in a process of its own, which has loaded nothing but what takes long and is not ours or Detectron2's.
FORKS = f"""
import os, traceback
import rasterio, torch, torchvision
for imports in {ORDERS!r}:
    print(imports, end=": ", flush=True)
    if os.fork() == 0:
        try:
            exec(imports + {BUILD!r}, {{}})
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.wait()
"""


def python(code):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=600, cwd=REPOSITORY
    )
    assert result.returncode == 0, result.stderr
    return result


def test_names_of_ours_are_found_whatever_is_imported_first():
    result = python(FORKS)
    expected = [f"{imports}: ImrsfBackbone IncompleteMultimodalMAE True" for imports in ORDERS]
    assert result.stdout.splitlines() == expected, result.stderr


def test_nothing_of_ours_is_loaded_before_detectron2_is():
    code = """
import sys, imrsf_d2
print({"imrsf_d2.modeling.backbone", "imrsf_d2.data.datasets", "torch", "detectron2"} & set(sys.modules))
import detectron2.config
print("imrsf_d2.modeling.backbone" in sys.modules)
import detectron2.modeling
print("imrsf_d2.modeling.backbone" in sys.modules, type(detectron2.modeling.__spec__.loader).__name__)
"""
    assert python(code).stdout.split() == ["set()", "False", "True", "SourceFileLoader"]


def test_torch_alone_is_enough_where_detectron2_is_not_installed():
    """As in an environment without it; and what needs it says so."""
    code = """
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in ("detectron2", "mask2former", "fvcore", "rasterio")
        return None if absent else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
import torch, imrsf_d2
from imrsf_d2 import IncompleteMultimodalViT, Modality
vit = IncompleteMultimodalViT(modalities=[Modality("rgb", 3), Modality("dsm", 1)], embed_dim=32, depth=2, num_heads=2)
image = torch.randn(1, 4, 64, 64)
image[0, 3] = float("nan")
maps = vit(image)
print(all((maps[name].shape[1], 64 // maps[name].shape[2]) == tuple(shape) for name, shape in vit.output_shape().items()))
try:
    imrsf_d2.add_imrsf_config
except Exception as error:
    print(type(error).__name__)
"""
    assert python(code).stdout.split() == ["True", "UpstreamError"]
