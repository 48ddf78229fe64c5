"""The command line of a checkout: `python run.py COMMAND ...`; see `--help`."""

import sys

from lvmmed_jax import command_line

if __name__ == "__main__":
    sys.exit(command_line.main())
