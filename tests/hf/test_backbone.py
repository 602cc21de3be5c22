import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

pytest.importorskip("transformers", reason="needs transformers, which is an extra: make test-extras")

from transformers import AutoBackbone, AutoConfig, Mask2FormerForUniversalSegmentation  # noqa: E402

from imrsf_d2 import IncompleteMultimodalViT, Modality  # noqa: E402
from imrsf_d2.hf import ImrsfConfig, ImrsfViTBackbone, SampleCollator  # noqa: E402
from imrsf_d2.modalities import ModalitySet  # noqa: E402
from imrsf_d2.modeling.arguments import backbone_arguments  # noqa: E402
from imrsf_d2.modeling.sensor_batch import assemble_sensors  # noqa: E402
from tests.drop_in import BLOCKS, extra_of  # noqa: E402
from tests.hf.models import COVER, S2, nan_samples, tiny_config, tiny_mask2former  # noqa: E402
from tests.tiny import REPOSITORY  # noqa: E402


def parameters(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(got, expected):
    assert got.keys() == expected.keys()
    assert [name for name in got if not torch.equal(got[name], expected[name])] == []


def test_a_mask2former_trains_with_missing_sensors_and_is_the_same_after_saving_and_loading(tmp_path):
    model = tiny_mask2former(tiny_config())
    batch = SampleCollator(model.config.backbone_config)(nan_samples())
    before = parameters(model)
    optimizer = torch.optim.AdamW(model.train().parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    # Those that see data: every parameter of the backbone takes part.
    assert not [n for n, v in parameters(model).items() if "encoder.vit" in n and torch.equal(v, before[n])]

    model.eval().save_pretrained(tmp_path)
    loaded = Mask2FormerForUniversalSegmentation.from_pretrained(tmp_path)
    assert_equal(parameters(loaded), parameters(model))
    # Not in the memory of the file, whose alignment changes the order in which numbers are added up.
    again = Mask2FormerForUniversalSegmentation(loaded.config).eval()
    again.load_state_dict(loaded.state_dict())
    with torch.no_grad():
        got, expected, mapped = (m(batch["pixel_values"]) for m in (again, model, loaded))
    assert torch.equal(got.masks_queries_logits, expected.masks_queries_logits)
    assert torch.equal(got.class_queries_logits, expected.class_queries_logits)
    torch.testing.assert_close(mapped.masks_queries_logits, expected.masks_queries_logits, rtol=1e-4, atol=1e-4)


def test_it_is_our_backbone_and_neither_detectron2_nor_mask2former_is_loaded():
    code = """
import sys
from tests.drop_in import BLOCKS, extra_of  # noqa: E402
from tests.hf.models import nan_samples, tiny_config, tiny_mask2former  # noqa: E402
from imrsf_d2.hf import SampleCollator  # noqa: E402
model = tiny_mask2former(tiny_config())
model(**SampleCollator(model.config.backbone_config)(nan_samples())).loss.backward()
print([name for name in sys.modules if name.split(".")[0] in ("detectron2", "mask2former", "torch_ms_deform_attn")])
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def test_it_computes_what_our_backbone_computes():
    config = tiny_config()
    backbone = AutoBackbone.from_config(config).eval()
    assert type(backbone) is ImrsfViTBackbone and backbone.channels == [32] * 4
    image = SampleCollator(config)(nan_samples())["pixel_values"]
    reference = IncompleteMultimodalViT(modalities=(S2, COVER), embed_dim=32, depth=4, num_heads=2).eval()
    reference.load_state_dict(backbone.vit.state_dict())
    with torch.no_grad():
        maps, expected = backbone(image).feature_maps, reference(image)
    assert [torch.equal(got, wanted) for got, wanted in zip(maps, expected.values())] == [True] * 4
    (sample, _), names = nan_samples(), ("s2", "cover")
    image = SampleCollator(config)([sample])["pixel_values"][:, :, :64, :48]
    sensors = dict(zip(names, sample["image"][None, :, :64, :48].split([4, 1], dim=1)))
    with torch.no_grad():
        by_name, expected = backbone(sensors).feature_maps, backbone(image).feature_maps
    assert [torch.equal(got, wanted) for got, wanted in zip(by_name, expected)] == [True] * 4


def test_a_configuration_survives_a_file(tmp_path):
    config = tiny_config(out_features=["res3", "res5"], out_layers=[1, 3], absent="zeros")
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is ImrsfConfig and loaded.to_dict().items() >= {"out_indices": [1, 3], "absent": "zeros"}.items()
    assert list(loaded.modality_set) == [S2, COVER]
    assert [m.shape[2:] for m in ImrsfViTBackbone(loaded)(torch.rand(1, 5, 64, 64)).feature_maps] == [(8, 8), (2, 2)]


def test_a_sensor_that_the_file_lacks_is_new_and_the_rest_is_loaded(tmp_path):
    model = ImrsfViTBackbone(tiny_config([S2]))
    model.save_pretrained(tmp_path)
    torch.manual_seed(1)
    wider = ImrsfViTBackbone.from_pretrained(tmp_path, config=tiny_config())
    old, new = parameters(model.vit), parameters(wider.vit)
    assert all(torch.equal(new[name], old[name]) for name in old)
    added = {name: new[name] for name in new.keys() - old.keys()}
    assert added and all(name.startswith("patch_embed.cover.") for name in added)
    torch.manual_seed(1)
    expected = IncompleteMultimodalViT(**tiny_config().backbone_arguments).state_dict()
    assert_equal(added, {name: expected[name] for name in added})


def test_its_arguments_are_those_of_our_config(make_config):
    ours = backbone_arguments(make_config())
    theirs = ImrsfConfig(ours["modalities"]).backbone_arguments
    assert theirs.pop("out_layers") is None  # which stands for these of depth 12
    assert theirs == {
        name: tuple(v) if name == "out_features" else v for name, v in ours.items() if name != "out_layers"
    } | {"modalities": theirs["modalities"]}
    assert list(theirs["modalities"]) == list(ours["modalities"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImrsfViTBackbone(ImrsfConfig()), "has no modalities, expected e.g."),
        (lambda: tiny_config([{"NAME": "s2", "BAND": 4}]), "unknown key 'BAND'"),
        (lambda: ImrsfViTBackbone(tiny_config(num_heads=5)), "multiple of 4 and of num_heads = 5"),
        (lambda: ImrsfViTBackbone(tiny_config())(torch.rand(1, 3, 64, 64)), r"\[1, 3, 64, 64\], expected \[B, 7, H, W\]"),
        (lambda: SampleCollator(tiny_config())([{"image": torch.rand(3, 64, 64)}]), r"expected \[B, 7, H, W\]"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_batches_are_normalized_and_padding_is_missing():
    first, second = nan_samples()
    values = SampleCollator(tiny_config())([first, second])["pixel_values"]
    assert values.shape == (2, 7, 96, 64)
    mean = torch.tensor(S2.mean).view(-1, 1, 1)
    torch.testing.assert_close(values[0, :4, 40:70, :50], (first["image"][:4, 40:] - mean) / 2)
    validity = torch.zeros(2, 2, 96, 64)
    validity[0, 0, 40:70, :50] = validity[0, 1, :70, :50] = validity[1, 0, :64] = 1
    assert torch.equal(values[:, 5:], validity) and values.isfinite().all()
    # The layout of our mappers is the same sample.
    image = torch.cat([first["image"].nan_to_num(7.0), torch.stack([~first["image"][0].isnan(), torch.ones(70, 50)])])
    torch.testing.assert_close(SampleCollator(tiny_config())([{"image": image}, second])["pixel_values"][:, 5:], validity)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int16])
def test_nodata_is_missing_as_where_sensors_go_by_name(dtype):
    """In bands alone; of a sensor that is transformed it is a number of the files, and validity channels have been looked up."""
    modalities = [replace(S2, nodata=-999.0), Modality("s1", transform="db", nodata=0), COVER]
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(1, 9, (6, 64, 64), generator=generator).to(dtype)
    image[5] = 1
    image[:4, :20], image[4, :, :9], image[1, 40:] = -999, 0, -999  # the last in one band of four
    sensors = dict(zip(("s2", "s1", "cover"), image[None].split([4, 1, 1], dim=1)))
    expected = assemble_sensors(sensors, ModalitySet(modalities))
    collate = SampleCollator(tiny_config(modalities))
    found = collate([{"image": image}])["pixel_values"]
    assert torch.equal(found, expected) and found[0, 6].mean() == 44 / 64 and found[0, 7:].all()
    complete = torch.cat([image, torch.ones(3, 64, 64).to(dtype)])
    assert collate([{"image": complete}])["pixel_values"][0, 6:].all()


def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", (REPOSITORY / "docs/transformers.md").read_text(), re.S)[1]
    assert len(example.strip().splitlines()) <= 15
    scope = {}
    exec(example, scope)
    assert_equal(parameters(scope["again"]), parameters(scope["model"]))
    assert scope["loss"].isfinite()
    assert scope["again"].config.backbone_config.modality_set["s2"] == Modality("s2", channels=4)


def test_the_example_of_the_drop_in_page_runs():
    (example,) = (block for _, block in BLOCKS if extra_of(block) == "transformers")
    scope = {}
    exec(example, scope)
    encoder = scope["segmenter"].model.pixel_level_module.encoder.vit
    moved = {name for name, parameter in encoder.patch_embed.named_parameters() if parameter.grad is not None}
    assert scope["loss"].isfinite() and any(name.startswith("s2.") for name in moved)
