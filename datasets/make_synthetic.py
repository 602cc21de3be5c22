#!/usr/bin/env python
"""Write a small synthetic dataset in the layout of a real one.

The same as `imrsf synthetic`; see imrsf_d2/commands/synthetic.py.
"""

import sys

from imrsf_d2.commands.synthetic import main

if __name__ == "__main__":
    sys.exit(main())
