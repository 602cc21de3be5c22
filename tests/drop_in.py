"""The examples of docs/drop_in.md, and which of them need a library that is not in the environment."""

import re

from tests.tiny import REPOSITORY

#: (python, yaml or bash; code), in order.
BLOCKS: list[tuple[str, str]] = re.findall(
    r"```(python|yaml|bash)\n(.*?)```", (REPOSITORY / "docs/drop_in.md").read_text(), re.S
)
EXTRAS = ("segmentation_models_pytorch", "terratorch", "transformers")


def extra_of(code):
    """The library of EXTRAS that an example imports, None if it imports none."""
    return next((name for name in EXTRAS if re.search(rf"^(import|from) {name}\b", code, re.M)), None)
