"""Package metadata. The exact, tested environment is in requirements/; here are only the ranges it was chosen from."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "imrsf_d2/__init__.py").read_text(encoding="utf-8"), re.M).group(1)
README = ROOT / "README.md"

# The versions of Python that were tried (docs/versions.md); requirements/install.sh looks for the same.
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
KEYWORDS = [
    "remote sensing",
    "multimodal",
    "missing modality",
    "instance segmentation",
    "semantic segmentation",
    "land cover",
    "Detectron2",
    "Mask2Former",
    "PyTorch",
]

# detectron2 and Mask2Former are not listed: neither has a usable release under its own name, so a requirement on
# them would either fail or replace somebody's source build. `make env` installs them, `tools/check_env.py` names
# what is missing.
INSTALL_REQUIRES = [  # a plain list: imrsf_d2/compat/requirements.py reads it, too
    # Wide on purpose: a research machine's own torch must not be replaced by installing a plugin. The lower bounds are the
    # versions that were tried together (requirements/oldest.in, docs/versions.md).
    "torch>=2.4",
    "torchvision>=0.19",
    "numpy>=1.23.5",
    "fvcore>=0.1.5.post20221221",
    "iopath>=0.1.9",
    "omegaconf>=2.2.1,<2.4",  # 2.4 drops what detectron2's lazy configs use
    "hydra-core>=1.3",  # 1.2 does not load on Python 3.11
    "yacs>=0.1.8",
    "pycocotools>=2.0.6",
    "faster-coco-eval>=1.6",
    "opencv-python-headless>=4.6.0.66",
    "pillow>=9.4",
    "scipy>=1.9.3",
    "rasterio>=1.3.3",
    "pyogrio>=0.7",
    "shapely>=2.0",
    "timm>=0.9.9",
    "safetensors>=0.4",
    "matplotlib>=3.6",
    "tensorboard>=2.10",  # 2.9 does not load with the protobuf that comes with it today
    "tabulate>=0.9",
    "jinja2>=3.1",
    "termcolor>=1.1",
    "tqdm>=4.64",
    "cloudpickle>=2.0",
    "packaging>=24.2",
]

setup(
    name="imrsf_d2",
    version=VERSION,
    description="Detectron2 / Mask2Former plugin for multimodal remote sensing in which any sensor may be missing",
    long_description=README.read_text(encoding="utf-8") if README.is_file() else "",
    long_description_content_type="text/markdown",
    author="The imrsf_d2 developers",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=KEYWORDS,
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: {version}" for version in ("3", *PYTHONS)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: GIS",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.15",
    packages=[*find_packages(include=["imrsf_d2", "imrsf_d2.*"]), "imrsf_d2.configs"],
    # The configs lie where Detectron2's users look for them, and travel with the package.
    package_dir={"imrsf_d2": "imrsf_d2", "imrsf_d2.configs": "configs"},
    package_data={
        "imrsf_d2": ["**/*.json", "**/*.csv", "**/*.txt", "**/*.html", "**/*.css", "**/*.js", "py.typed"],
        "imrsf_d2.configs": ["**/*.yaml"],
    },
    entry_points={"console_scripts": ["imrsf = imrsf_d2.cli:main"]},
    install_requires=INSTALL_REQUIRES,
    extras_require={
        # The compiled attention op, where Mask2Former's own is not built.
        "fallbacks": ["torch-ms-deform-attn>=0.1.1"],
        # imrsf_d2.hf; the lower bound was tried, and so was the newest (docs/versions.md).
        "hf": ["transformers>=5.6,<6"],
        # imrsf_d2.integrations; likewise.
        "smp": ["segmentation-models-pytorch>=0.5"],
        "terratorch": ["terratorch>=1.2.11"],
        # Writing .onnx files (imrsf export) and checking them; the lower bounds are those that were tried (docs/versions.md).
        "export": ["onnx>=1.23,<2", "onnxscript>=0.7,<1", "onnxruntime>=1.32,<2"],
        "test": ["pytest>=9.1", "hypothesis>=6.80"],
    },
)
