#!/usr/bin/env python
"""Train or evaluate a model: Detectron2's command line on imrsf_d2's configs.

The same as `imrsf train`; see imrsf_d2/commands/train.py.
"""

import sys

from imrsf_d2.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
