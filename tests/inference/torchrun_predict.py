"""The command with small blocks, for torchrun; see test_command_runs.py."""

import sys

from imrsf_d2.commands.predict import main
from tests.inference.command import set_block_side

if __name__ == "__main__":
    set_block_side(100)
    sys.exit(main(sys.argv[1:]))
