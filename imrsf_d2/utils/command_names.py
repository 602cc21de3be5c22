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
    "statistics": "tools/compute_statistics.py",
    "visualize": "tools/visualize.py",
    "convert": "tools/convert_checkpoint.py",
    "synthetic": "datasets/make_synthetic.py",
    "demo": "tools/demo.py",
    "doctor": "tools/check_env.py",
}


def as_called(text: str) -> str:
    """A text with its commands and configs as the reader of this process has them.

    Args:
        text: written for a checkout, e.g. "python tools/train_net.py --config-file configs/dfc2023_instance.yaml".

    Returns:
        The text, or, in a process that was started as `imrsf`, "imrsf train --config-file dfc2023_instance".
    """
    if Path(sys.argv[0]).stem != "imrsf":
        return text
    for name, tool in TOOLS.items():
        text = re.sub(rf"(python )?{re.escape(tool)}", f"imrsf {name}", text)
    return re.sub(r"\bconfigs/([\w/]+)\.yaml", r"\1", text)
