#!/usr/bin/env python
"""List everything that is wrong with a dataset: files, places, bands, values, labels and splits, in one pass.

The same as `imrsf check`; see imrsf_d2/commands/check.py.
"""

import sys

from imrsf_d2.commands.check import main

if __name__ == "__main__":
    sys.exit(main())
