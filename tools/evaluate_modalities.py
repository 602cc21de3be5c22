#!/usr/bin/env python
"""Score one model with every subset of its sensors: the table, what each sensor is worth, charts, importance maps.

The same as `imrsf subsets`; see imrsf_d2/commands/subsets.py.
"""

import sys

from imrsf_d2.commands.subsets import main

if __name__ == "__main__":
    sys.exit(main())
