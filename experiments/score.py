"""``python -m experiments.score`` from a clone: the command ``medvista score``."""

import sys

from medvista.app.commands.score import main

if __name__ == "__main__":
    sys.exit(main())
