#!/usr/bin/env python
"""Make aligned tiles of Sentinel-1, Sentinel-2, elevation, Dynamic World and land-cover labels from your own exports.

The same as `imrsf prepare quadruplets`; see imrsf_d2/commands/prepare_quadruplets.py.
"""

import sys

from imrsf_d2.commands.prepare_quadruplets import main

if __name__ == "__main__":
    sys.exit(main())
