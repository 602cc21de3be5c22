"""How a reader calls our commands: `imrsf train`, or in a checkout `python tools/train_net.py`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

__all__ = ["TOOLS", "as_called"]

#: subcommand of `imrsf` -> the script of a checkout that does the same
TOOLS = {
    "train": "tools/train_net.py",
    "subsets": "tools/evaluate_modalities.py",
    "prepare dfc2023": "datasets/prepare_dfc2023.py",
    "prepare quadruplets": "datasets/prepare_quadruplets.py",
    "prepare tiles": "datasets/prepare_tiles.py",
    "predict": "tools/predict_scene.py",
    "check": "tools/check_dataset.py",
    "statistics": "tools/compute_statistics.py",
    "visualize": "tools/visualize.py",
    "convert": "tools/convert_checkpoint.py",
    "export": "tools/export_model.py",
    "synthetic": "datasets/make_synthetic.py",
    "demo": "tools/demo.py",
    "doctor": "tools/check_env.py",
}


#: Files of a checkout that an installed package comes without -> where their text is found instead.
_PAGES = {
    "datasets/README.md": "the documentation's page on datasets",
    "datasets/sen1floods11.md": "the documentation's page on Sen1Floods11",
    "datasets/spacenet6.md": "the documentation's page on SpaceNet 6",
    "docs/formats.md": "the documentation's page on file formats",
}
_REPOSITORY = Path(__file__).resolve().parents[2]
#: Where our configs/ is: in an installed package, or in a checkout.
_CONFIG_PARENTS = (_REPOSITORY / "imrsf_d2", _REPOSITORY)


def as_called(text: str) -> str:
    """A text with its commands and configs as the reader of this process has them.

    Args:
        text: written for a checkout, e.g. "python tools/train_net.py --config-file configs/dfc2023_instance.yaml".

    Returns:
        The text; or, in a process that was started as `imrsf` or has no checkout, "imrsf train --config-file
        dfc2023_instance".
    """
    in_checkout = (_REPOSITORY / TOOLS["train"]).is_file()
    if not in_checkout:
        for page, place in _PAGES.items():
            text = text.replace(page, place)
    called = Path(sys.argv[0])
    if in_checkout and called.stem != "imrsf" and called.parts[-2:] != ("imrsf_d2", "cli.py"):
        return text
    for name, tool in TOOLS.items():
        # torchrun starts scripts and modules.
        text = re.sub(rf"(torchrun [^\n]*?){re.escape(tool)}", rf"\1-m imrsf_d2.cli {name}", text)
        text = re.sub(rf"(python )?{re.escape(tool)}", f"imrsf {name}", text)
    return re.sub(r"(?<![\w./\\~-])configs/([\w/]+)\.yaml", _name_of_own, text)


def _name_of_own(path: re.Match[str]) -> str:
    """The name of one of our configs; a user's own path stays."""
    return path[1] if any((folder / path[0]).is_file() for folder in _CONFIG_PARENTS) else path[0]
