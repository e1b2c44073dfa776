"""``python -m configkit``: the same as the command ``configkit``."""

import sys

from configkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
