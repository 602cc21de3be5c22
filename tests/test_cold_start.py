"""What an import loads, and what it must not: nobody waits for a library that is not used."""

import subprocess
import sys

import pytest

from tests.tiny import REPOSITORY

HEAVY = (
    "torch",
    "torchvision",
    "detectron2",
    "mask2former",
    "numpy",
    "scipy",
    "cv2",
    "rasterio",
    "pycocotools",
    "matplotlib",
)
PICTURES = ("matplotlib",)


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments], capture_output=True, text=True, timeout=300, check=True, **options
    )


def loaded(modules):
    """The packages in a new interpreter after these imports."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(python("-c", code, cwd=REPOSITORY).stdout.split())


@pytest.mark.parametrize(
    "modules, unwanted",
    [
        (
            [
                "imrsf_d2",
                "imrsf_d2.modalities",
                "imrsf_d2.utils.atomic",
                "imrsf_d2.utils.parallel",
                "imrsf_d2.modeling",
                "imrsf_d2.data",
                "imrsf_d2.engine",
            ],
            HEAVY,
        ),
        (["imrsf_d2.modeling.vit"], [name for name in HEAVY if name not in ("torch", "numpy")]),
        pytest.param(["imrsf_d2.evaluation", "imrsf_d2.engine.running"], PICTURES, marks=pytest.mark.slow),
    ],
    ids=["subpackages", "model", "running"],
)
def test_an_import_loads_nothing_it_does_not_need(modules, unwanted):
    assert not loaded(modules) & set(unwanted)


@pytest.mark.parametrize(
    "tool",
    sorted(
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("tools", "datasets")
        for path in (REPOSITORY / folder).glob("*.py")
    ),
)
def test_help_loads_nothing_heavy(tool):
    result = python("-X", "importtime", str(REPOSITORY / tool), "--help")
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "argparse" in names and not names & set(HEAVY)


def test_the_names_of_the_package_are_those_of_its_modules():
    import imrsf_d2
    from imrsf_d2 import config, modalities

    assert imrsf_d2.add_imrsf_config is config.add_imrsf_config and imrsf_d2.Modality is modalities.Modality
    assert all(hasattr(imrsf_d2, name) for name in imrsf_d2.__all__) and set(imrsf_d2.__all__) <= set(dir(imrsf_d2))
    with pytest.raises(AttributeError, match="no attribute 'Transformer'"):
        imrsf_d2.Transformer  # noqa: B018


def test_the_names_of_the_model_are_those_of_its_modules():
    import imrsf_d2.modeling
    from imrsf_d2.modeling import encoder_data

    assert imrsf_d2.modeling.EncoderOutput is encoder_data.EncoderOutput
    assert all(hasattr(imrsf_d2.modeling, name) for name in imrsf_d2.modeling.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Transformer'"):
        imrsf_d2.modeling.Transformer  # noqa: B018
