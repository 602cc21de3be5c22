#!/usr/bin/env python
"""Measure the mean and standard deviation of every band over a training set's valid pixels, as YAML to paste.

The same as `imrsf statistics`; see imrsf_d2/commands/statistics.py.
"""

import sys

from imrsf_d2.commands.statistics import main

if __name__ == "__main__":
    sys.exit(main())
