#!/usr/bin/env python
"""Map a scene; `--help` has the arguments and examples. The same as `imrsf predict`."""

import sys

from imrsf_d2.commands.predict import main

if __name__ == "__main__":
    sys.exit(main())
