"""The examples of docs/drop_in.md run as they stand, one after the other, on data made up here and a tiny model."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from detectron2 import model_zoo
from detectron2.data import DatasetCatalog, MetadataCatalog
from fvcore.common.config import CfgNode
from PIL import Image

from imrsf_d2.commands import statistics
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.synthetic.layouts import write_layout
from tests.drop_in import BLOCKS, extra_of
from tests.tiny import DEMO_CONFIG, OVERRIDES, REPOSITORY

#: What Mask2Former's `train_net.py` does, which comes with its repository alone (`make test-stock` runs that one).
TRAIN_NET = """
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.data import build_detection_train_loader
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from detectron2.evaluation import COCOEvaluator
from detectron2.projects.deeplab import add_deeplab_config
from mask2former import COCOInstanceNewBaselineDatasetMapper, add_maskformer2_config

class Trainer(DefaultTrainer):
    @classmethod
    def build_evaluator(cls, cfg, name, output_folder=None):
        return COCOEvaluator(name, output_dir=cfg.OUTPUT_DIR)

    @classmethod
    def build_train_loader(cls, cfg):
        return build_detection_train_loader(cfg, mapper=COCOInstanceNewBaselineDatasetMapper(cfg, True))

def main(args):
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_maskformer2_config(cfg)
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.freeze()
    default_setup(cfg, args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        DetectionCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        print("EVALUATED", Trainer.test(cfg, model)["segm"]["AP"])
        return
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()

if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    launch(main, args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, args=(args,))
"""


#: Detectron2's Mask R-CNN made tiny.
RCNN_SIZE = {
    "MODEL": {
        "DEVICE": "cpu",
        "IMRSF": {"EMBED_DIM": 16, "NUM_HEADS": 2, "DEPTH": 2, "OUT_LAYERS": [0, 0, 1, 1]},
        "FPN": {"OUT_CHANNELS": 8},
        "ROI_BOX_HEAD": {"FC_DIM": 16},
        "ROI_MASK_HEAD": {"CONV_DIM": 8},
    },
    "INPUT": {"MIN_SIZE_TRAIN": [70], "MIN_SIZE_TEST": 70},
    "SOLVER": {"MAX_ITER": 2, "STEPS": [1], "IMS_PER_BATCH": 2, "BASE_LR": 0.001},
    "DATALOADER": {"NUM_WORKERS": 0},
    "OUTPUT_DIR": "output",
}


def merged(tree, changes):
    """A nested mapping with the values of another one."""
    both = {key: merged(tree.get(key, {}), value) for key, value in changes.items() if isinstance(value, dict)}
    return tree | changes | both


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A user's folder: RGB images with COCO annotations, a config of Mask2Former made tiny, its training script."""
    data = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "building"}]}
    (tmp_path / "images").mkdir()
    (tmp_path / "output").mkdir()
    for i in range(1, 5):
        Image.fromarray(np.random.randint(1, 256, (70, 90, 3), dtype=np.uint8)).save(tmp_path / f"images/{i}.png")
        data["images"].append({"id": i, "file_name": f"{i}.png", "height": 70, "width": 90})
        data["annotations"].append(
            {"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 60, 40], "area": 2400, "iscrowd": 0}
            | {"segmentation": [[10, 10, 70, 10, 70, 50, 10, 50]]}
        )
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    size = ["INPUT.IMAGE_SIZE", "64", "INPUT.MIN_SCALE", "0.5", "INPUT.MAX_SCALE", "1.0"]
    mapper = [
        "INPUT.DATASET_MAPPER_NAME",
        "coco_instance_lsj",
        "INPUT.FORMAT",
        "RGB",
        "TEST.EVAL_PERIOD",
        "0",
        "INPUT.MIN_SIZE_TEST",
        "0",
    ]
    mapper += ["SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "value"]  # "full_model" is only known to the optimizer of Mask2Former
    cfg = load_config(
        DEMO_CONFIG,
        [*OVERRIDES, *size, *mapper, "SOLVER.MAX_ITER", "2", "MODEL.DEVICE", "cpu", "OUTPUT_DIR", "output"],
        need_data=False,
    )
    base = tmp_path / yaml.safe_load(BLOCKS[0][1])["_BASE_"]
    base.parent.mkdir(parents=True)
    base.write_text(cfg.dump())
    (tmp_path / "Mask2Former/train_net.py").write_text(TRAIN_NET)
    zoo = CfgNode.load_yaml_with_base(model_zoo.get_config_file("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"))
    (tmp_path / "zoo.yaml").write_text(yaml.safe_dump(merged(zoo, RCNN_SIZE)))
    monkeypatch.setattr(model_zoo, "get_config_file", lambda name: str(tmp_path / "zoo.yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(DatasetCatalog.list())
    yield tmp_path
    for name in set(DatasetCatalog.list()) - before:  # other tests of this process have datasets of the same names
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_the_examples_run_as_they_stand(project, monkeypatch):
    assert all(len(re.findall(r"^\s*\S", block, re.M)) <= 15 for _, block in BLOCKS)
    write_layout("panoptic", project / "cover", num_train=4, num_val=2, size=64, seed=0, num_workers=1)
    assert statistics.main(["--data", str(project / "cover"), "--write", "--num-workers", "1"]) == 0
    images, names, encode = [], {}, None
    for kind, block in BLOCKS:
        if extra_of(block):  # run by tests/integrations
            continue
        if match := re.match(r"# (\S+\.(?:yaml|py))\n", block):
            (project / match[1]).write_text(block)
        elif kind == "bash":
            run = subprocess.run(
                ["bash", "-ec", f'python() {{ "{sys.executable}" -W ignore "$@"; }}\n{block}'],
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}"},
            )
            assert run.returncode == 0, run.stderr
            assert 0 <= float(re.search("EVALUATED (.*)", run.stdout)[1]) <= 100
        else:
            if encode is None:  # see what the backbone gets of the trainer's batches
                from imrsf_d2.modeling.vit import IncompleteMultimodalViT

                encode = IncompleteMultimodalViT.forward
                monkeypatch.setattr(
                    IncompleteMultimodalViT, "forward", lambda vit, x, *valid: (images.append(x), encode(vit, x, *valid))[1]
                )
            exec(compile(block, "drop_in.md", "exec"), names)

    assert all(torch.isfinite(loss) for key in ("losses", "panoptic_losses") for loss in names[key].values())
    assert names["image"].shape == (7, 96, 96) and not names["image"][5:].any()
    assert names["instances"].image_size == (100, 90)
    assert 0 <= names["quality"] <= 100 and "PQ-building" in names["scores"]["panoptic_seg"]
    assert names["vit"].modalities.names == names["normalization"].names == ("s2", "dem")
    assert torch.isfinite(names["loss"]) and names["valid"].any(dim=1).all()
    assert names["exported_maps"]["res2"].shape[2:] == (24, 24)
    assert names["final"].shape == (2, 36, 192) and names["last"].shape == (2, 192, 6, 6)
    assert names["normalization"].pixel_mean == pytest.approx([0.1, 0.1, 0.1, 0.3, 0, 0, 0])
    assert all(0 <= names["ap"][task]["AP"] <= 100 for task in ("bbox", "segm"))
    detected = [
        image for image in images if getattr(image, "shape", None) == (2, 4, 96, 96)
    ]  # what Mask R-CNN was trained on
    assert len(detected) == 2 and all(image[:, 3].sum() == 2 * 70 * 90 for image in detected)
    with torch.no_grad():
        (output,) = names["rcnn"].eval()([{"image": torch.rand(5, 100, 90), "height": 100, "width": 90}])
    assert output["instances"].image_size == (100, 90)


#: Runs an example where nothing can be imported but this package, torch and numpy, with what these two need.
ALONE = """
import importlib.machinery, importlib.metadata, sys
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
wanted = ["torch", "numpy"]
for name in wanted:
    for requirement in map(Requirement, importlib.metadata.requires(name) or ()):
        if requirement.name not in wanted and (not requirement.marker or requirement.marker.evaluate({"extra": ""})):
            wanted.append(requirement.name)
wanted = {canonicalize_name(name) for name in wanted} | {"imrsf-d2"}
modules = importlib.metadata.packages_distributions().items()
others = {module for module, names in modules if not wanted & {canonicalize_name(name) for name in names}}
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in others else super().find_spec(name, path, target)
sys.meta_path[:] = [importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter, Finder]
exec(sys.stdin.read())
assert {"detectron2", "rasterio", "timm", "yaml", "PIL"} <= others
print(loss.item())
"""


def test_plain_pytorch_is_torch_and_numpy_alone():
    (example,) = (block for _, block in BLOCKS if "draw_subset" in block)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE], input=example, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert re.fullmatch(r"\d+\.\d+\n", run.stdout), run.stderr
