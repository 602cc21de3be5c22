import re

import torch

from imrsf_d2.compat.machine import describe_machine, describe_versions


def test_the_machine_and_versions_are_named():
    assert re.search(rf"\b{torch.backends.cpu.get_cpu_capability()}\), \d+ core", describe_machine())
    assert describe_versions().startswith("imrsf_d2 ")
    assert "torch" in describe_versions()
