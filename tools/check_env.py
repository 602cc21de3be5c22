#!/usr/bin/env python
"""Print what is installed and whether it works; exit with 1, naming the remedy, if something is missing or broken.

    python tools/check_env.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also from a checkout that is not installed

from imrsf_d2.environment import examine  # noqa: E402


def main() -> int:
    report = examine()
    print(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
