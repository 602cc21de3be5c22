#!/usr/bin/env python
"""Turn the weights of a ViT that was trained elsewhere into weights to start from (MODEL.WEIGHTS).

The same as `imrsf convert`; see imrsf_d2/commands/convert.py.
"""

import sys

from imrsf_d2.commands.convert import main

if __name__ == "__main__":
    sys.exit(main())
