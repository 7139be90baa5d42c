"""``python -m experiments.prepare`` from a clone: the command ``medvista prepare``."""

import sys

from medvista.app.commands.prepare import main

if __name__ == "__main__":
    sys.exit(main())
