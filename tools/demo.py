#!/usr/bin/env python
"""Show the method on this machine in minutes: synthetic data, a short training run on the CPU, every subset of the sensors.

The same as `imrsf demo`; see imrsf_d2/commands/demo.py.
"""

import sys

from imrsf_d2.commands.demo import main

if __name__ == "__main__":
    sys.exit(main())
