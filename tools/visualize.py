#!/usr/bin/env python
"""Look at what a model is fed in training or at test time, at the ground truth, and at what the model predicts.

The same as `imrsf visualize`; see imrsf_d2/commands/visualize.py.
"""

import sys

from imrsf_d2.commands.visualize import main

if __name__ == "__main__":
    sys.exit(main())
