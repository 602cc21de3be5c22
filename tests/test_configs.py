"""Every YAML that people wrote under configs/ and projects/ loads, says nothing twice, and sets nothing unread."""

import ast
from pathlib import Path

import pytest
import torch
import yaml
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model

from imrsf_d2.config import add_imrsf_config
from imrsf_d2.data.quadruplet_layout import SENSORS
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.modalities import ModalitySet
from projects.study import baselines  # noqa: F401 (registers the backbones of its configs)

REPOSITORY = Path(__file__).resolve().parent.parent
#: What finished training runs wrote, each with every key; tests/projects/study/test_records.py reads them.
RECORDS = REPOSITORY / "projects/study/records"
CONFIGS = sorted(
    path
    for folder in ("configs", "projects")
    for path in (REPOSITORY / folder).rglob("*.yaml")
    if RECORDS not in path.parents
)
#: What is run; the others are only inherited from.
RUNNABLE = [path for path in CONFIGS if path.parent.name not in ("base", "parts")]
#: folder -> (least, most) million parameters of its models; the others are the paper's.
MILLIONS = {
    "configs/demo": (2, 6),
    "configs/quick": (0.5, 2),
    "projects/study/configs/cpu": (0.5, 2),
    "projects/study/configs/pretrain_demo": (0.5, 2),
    "projects/study/configs/fair": (0.5, 30),  # a ResNet-50 and a Swin-T among them
    "projects/study/configs/fair_semantic": (0.5, 30),
    "projects/study/configs/fair_land_cover": (0.5, 30),
    "projects/study/configs/gpu": (30, 60),
}


#: Names of the configs for any dataset, which has the sensors: those of its TASK.
GENERIC = ("instance", "instance_best", "semantic", "semantic_best", "panoptic", "pretrain")


def name(path):
    return str(path.relative_to(REPOSITORY))


class StrictLoader(yaml.SafeLoader):
    """YAML's own rule, which PyYAML does not enforce: no key twice in a mapping."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", node.start_mark)
        return super().construct_mapping(node, deep)


def read(path):
    with path.open() as file:  # its name is part of an error
        return yaml.load(file, Loader=StrictLoader)


def flatten(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def bases(path):
    """The files that `_BASE_` names; a later one overrides an earlier one."""
    names = read(path).get("_BASE_", [])
    return [path.parent / name for name in ([names] if isinstance(names, str) else names)]


def settings(path):
    """What a file and its bases set."""
    own = {key: value for key, value in flatten(read(path)) if key != "_BASE_"}
    return inherited(path) | own


def inherited(path):
    """What the `_BASE_` chain of a file sets before the file itself does."""
    merged = {}
    for base in bases(path):
        merged |= settings(base)
    return merged


def test_the_strict_loader_sees_a_duplicate():
    with pytest.raises(yaml.YAMLError, match="duplicate key 'A'"):
        yaml.load("M:\n  A: 1\n  B: 2\n  A: 3\n", Loader=StrictLoader)


def test_no_key_stands_twice_and_a_file_holds_only_what_differs_from_its_base():
    repeated = {}
    for path in CONFIGS:
        before = inherited(path)
        if found := [key for key, value in flatten(read(path)) if key in before and before[key] == value]:
            repeated[name(path)] = found
    assert not repeated


def build_model_without_contents(cfg):
    """So that the paper's models take no time either."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        return build_model(cfg)


def dataset(task, folder):
    """KEY VALUE pairs that name a dataset of a task; its tiles are not looked for."""
    labels = {} if task == "pretrain" else {"CLASSES": [{"NAME": "house"}, {"NAME": "road"}]}
    labels |= {"semantic": {"LABELS": "{tile}.tif"}, "panoptic": {"LABELS": "segments"}}.get(task, {})
    (folder / "all.json").write_text("{}")
    modalities = [{"NAME": name, "FILES": "{tile}.tif"} for name in ("sar", "dsm")]
    splits = {"train": "all.json" if task in ("instance", "panoptic") else ["a"]}
    content = {"TASK": task, "MODALITIES": modalities, "SPLITS": splits} | labels
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content))
    return ["DATASETS.TRAIN", f"('{folder}/dataset.yaml:train',)"]


@pytest.mark.parametrize("path", RUNNABLE, ids=name)
def test_it_loads_and_its_model_builds(path, tmp_path):
    cfg = load_config(path, dataset(path.stem.removesuffix("_best"), tmp_path) if path.stem in GENERIC else ())
    assert len(cfg.MODEL.PIXEL_MEAN) == len(cfg.MODEL.PIXEL_STD)
    assert cfg.SEED >= 0, "without a seed no training run resumes exactly"
    assert all(step < cfg.SOLVER.MAX_ITER for step in cfg.SOLVER.STEPS)
    # A Swin reads numbers from tensors while it is built, and is small.
    model = (build_model if "Swin" in cfg.MODEL.BACKBONE.NAME else build_model_without_contents)(cfg)
    least, most = MILLIONS.get(str(path.parent.relative_to(REPOSITORY)), (80, 200))
    assert least < sum(parameter.numel() for parameter in model.parameters()) / 1e6 < most


def test_the_instance_config_is_the_papers():
    cfg = load_config(REPOSITORY / "configs/dfc2023_instance.yaml")
    solver, head = cfg.SOLVER, cfg.MODEL.MASK_FORMER
    assert (cfg.MODEL.IMRSF.PATCH_SIZE, cfg.MODEL.IMRSF.EMBED_DIM, cfg.MODEL.IMRSF.DEPTH) == (16, 768, 12)
    assert (cfg.MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS, head.DEC_LAYERS - 1, head.NUM_OBJECT_QUERIES) == (6, 9, 100)
    assert (solver.OPTIMIZER, solver.BASE_LR, solver.WEIGHT_DECAY, solver.IMS_PER_BATCH) == ("ADAMW", 1e-4, 0.05, 10)
    assert solver.BACKBONE_MULTIPLIER == 1.0  # from scratch
    steps_per_epoch = 1430 * 4 // solver.IMS_PER_BATCH
    assert solver.MAX_ITER == 300 * steps_per_epoch
    assert solver.STEPS == (round(0.9 * solver.MAX_ITER), round(0.95 * solver.MAX_ITER))
    assert (cfg.MODEL.MASK_FORMER.TEST.INSTANCE_ON, cfg.MODEL.MASK_FORMER.TEST.SEMANTIC_ON) == (True, False)


@pytest.mark.parametrize(
    "name, steps_per_epoch, classes, queries",
    [("dfc2023_semantic", 1430 * 4 // 10, 2, 9), ("quadruplets_lulc", 5340 // 10, 7, 9)],
)
def test_the_semantic_configs_are_the_papers(name, steps_per_epoch, classes, queries):
    cfg = load_config(REPOSITORY / f"configs/{name}.yaml")
    solver, test = cfg.SOLVER, cfg.MODEL.MASK_FORMER.TEST
    assert solver.MAX_ITER == 50 * steps_per_epoch and solver.IMS_PER_BATCH == 10
    assert solver.STEPS == (round(0.9 * solver.MAX_ITER), round(0.95 * solver.MAX_ITER))
    assert (cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, cfg.MODEL.MASK_FORMER.NUM_OBJECT_QUERIES) == (classes, queries)
    assert (test.INSTANCE_ON, test.SEMANTIC_ON, test.PANOPTIC_ON) == (False, True, False)
    for dataset in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        assert len(MetadataCatalog.get(dataset).stuff_classes) == classes


def test_the_quadruplets_are_four_modalities_one_of_them_a_map():
    modalities = ModalitySet.from_config(load_config(REPOSITORY / "configs/quadruplets_lulc.yaml"))
    assert [(m.name, m.channels, m.classes) for m in modalities] == [
        ("s1", 2, 0),
        ("s2", 4, 0),
        ("dem", 1, 0),
        ("dnw", 1, 9),
    ]
    assert modalities.names == SENSORS and len(modalities.subsets()) == 15


@pytest.mark.parametrize("data, samples_per_epoch, elevation", [("dfc2023", 1430 * 4, "dsm"), ("quadruplets", 5340, "dem")])
def test_the_pretraining_configs_are_the_papers(data, samples_per_epoch, elevation):
    g, gc = (load_config(REPOSITORY / f"configs/pretrain/{data}_{losses}.yaml") for losses in ("g", "gc"))
    solver, pretrain = g.SOLVER, g.MODEL.IMRSF.PRETRAIN
    assert (solver.OPTIMIZER, solver.BASE_LR, solver.WEIGHT_DECAY, solver.IMS_PER_BATCH) == ("ADAMW", 1e-4, 0.05, 40)
    epochs = samples_per_epoch / solver.IMS_PER_BATCH
    assert (solver.MAX_ITER, solver.WARMUP_ITERS) == (1600 * epochs, 40 * epochs)
    assert solver.LR_SCHEDULER_NAME == "WarmupCosineLR" and not solver.CLIP_GRADIENTS.ENABLED
    assert not g.INPUT.MODALITY_DROPOUT.ENABLED  # the masks drop modalities
    assert pretrain.VISIBLE_TOKENS == 256 and pretrain.CONTRASTIVE.WEIGHT == 0
    model = build_model_without_contents(g)
    assert {name: judged.loss for name, judged in model.reconstructions.items()} == {
        name: {elevation: "l1", "dnw": "ce"}.get(name, "mse") for name in ModalitySet.from_config(g).names
    }
    differences = {key for key, value in flatten(gc) if value != dict(flatten(g))[key]}
    assert differences == {"MODEL.IMRSF.PRETRAIN.CONTRASTIVE.WEIGHT", "OUTPUT_DIR"}
    assert gc.MODEL.IMRSF.PRETRAIN.CONTRASTIVE.WEIGHT > 0


@pytest.mark.parametrize("way", ["g", "gc", "partial"])
@pytest.mark.parametrize("task", ["dfc2023_instance", "dfc2023_semantic", "quadruplets_lulc"])
def test_a_finetuning_is_the_supervised_training_from_what_a_pretraining_wrote(task, way):
    scratch = dict(flatten(load_config(REPOSITORY / f"configs/{task}.yaml")))
    cfg = load_config(REPOSITORY / f"configs/finetune/{task}_{way}.yaml")
    losses = {"partial": "gc"}.get(way, way)
    pretrained = load_config(REPOSITORY / f"configs/pretrain/{task.partition('_')[0]}_{losses}.yaml")
    expected = {"SOLVER.BACKBONE_MULTIPLIER": 0.1, "MODEL.WEIGHTS": f"{pretrained.OUTPUT_DIR}/model_final.pth"}
    if way == "partial":
        expected["MODEL.IMRSF.FREEZE"] = True
    assert {key: value for key, value in flatten(cfg) if value != scratch[key]} == expected


@pytest.mark.parametrize("task", ["dfc2023_instance", "quadruplets_lulc"])
def test_what_is_pretrained_is_the_encoder_that_is_finetuned(task):
    data = task.partition("_")[0]
    pretrained, finetuned = (
        {
            name: parameter.shape
            for name, parameter in build_model_without_contents(load_config(path)).named_parameters()
            if name.startswith("backbone.")
        }
        for path in (REPOSITORY / f"configs/pretrain/{data}_gc.yaml", REPOSITORY / f"configs/finetune/{task}_gc.yaml")
    )
    assert pretrained == {name: shape for name, shape in finetuned.items() if not name.startswith("backbone.pyramid.")}


def attributes_read(source):
    """(name, attribute) of each `name.attribute` and `x.name.attribute` that is read; comments and texts do not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield getattr(node.value, "attr", getattr(node.value, "id", None)), node.attr


def test_what_comments_and_texts_say_is_not_read():
    source = '"""A.B"""\n# C.D\nx = "E.F", cfg.G.H\ng.K = g.L'
    assert set(attributes_read(source)) == {("G", "H"), ("cfg", "G"), ("g", "L")}


def test_every_key_of_ours_is_read():
    cfg = CfgNode({"MODEL": {}, "DATASETS": {}, "INPUT": {}, "SOLVER": {"AMP": {}}, "DATALOADER": {}, "TEST": {}})
    add_imrsf_config(cfg)
    sources = [path for path in (REPOSITORY / "imrsf_d2").rglob("*.py") if path.name != "config.py"]
    read_by_the_package = {pair for path in sources for pair in attributes_read(path.read_text())}
    unread = []
    for key, _ in flatten(cfg):
        *_, parent, leaf = key.split(".")
        # Read in full, or through a local name for the parent such as `dropout = cfg.INPUT.MODALITY_DROPOUT`.
        names = {parent, parent.lower(), parent.lower().rpartition("_")[2]}
        if not any((each, leaf) in read_by_the_package for each in names):
            unread.append(key)
    assert not unread
