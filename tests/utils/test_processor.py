"""What a processor reports of itself is read on every system."""

import pytest

from imrsf_d2.utils.processor import Processor, processor

LINUX_AMD = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC 9654 96-Core Processor

processor\t: 1
vendor_id\t: AuthenticAMD
cpu family\t: 99
model name\t: Another
"""
LINUX_ARM = """processor\t: 0
BogoMIPS\t: 243.75
CPU implementer\t: 0x41
"""


def test_cpuinfo_of_linux():
    assert Processor.from_cpuinfo(LINUX_AMD) == Processor("AMD EPYC 9654 96-Core Processor", "AuthenticAMD", 25)
    assert Processor.from_cpuinfo(LINUX_ARM) == Processor("", "", 0)


@pytest.mark.parametrize(
    "text,vendor,family",
    [
        ("AMD64 Family 26 Model 68 Stepping 0, AuthenticAMD", "AuthenticAMD", 26),
        ("Intel64 Family 6 Model 151 Stepping 2, GenuineIntel", "GenuineIntel", 6),
        ("arm", "", 0),
    ],
)
def test_identifier_of_windows_and_names_of_other_systems(text, vendor, family):
    assert Processor.from_windows(text) == Processor(text, vendor, family)


def test_this_machine_has_a_name():
    assert processor().name
