#!/usr/bin/env python
"""Print what is installed and whether it works; exit with 1, naming the remedy, if something is missing or broken.

The same as `imrsf doctor`; see imrsf_d2/commands/doctor.py.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also from a checkout that is not installed

from imrsf_d2.commands.doctor import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
