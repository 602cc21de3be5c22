#!/usr/bin/env python
"""Cut the tiles of DFC2023 track 2 and their labels to the size that models are trained on, or check a download.

The same as `imrsf prepare dfc2023`; see imrsf_d2/commands/prepare_dfc2023.py.
"""

import sys

from imrsf_d2.commands.prepare_dfc2023 import main

if __name__ == "__main__":
    sys.exit(main())
