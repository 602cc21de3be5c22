#!/usr/bin/env python
"""Make a dataset of tiles from scenes of any sensors, and labels from polygons or rasters.

The same as `imrsf prepare tiles`; see imrsf_d2/commands/prepare_tiles.py.
"""

import sys

from imrsf_d2.commands.prepare_tiles import main

if __name__ == "__main__":
    sys.exit(main())
