#!/usr/bin/env python
"""Export a trained model as a graph for images of one size: ONNX, or PyTorch's own format.

The same as `imrsf export`; see imrsf_d2/commands/export.py.
"""

import sys

from imrsf_d2.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
