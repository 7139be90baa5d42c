"""``python -m experiments.check_model`` from a clone: the command ``medvista check-model``."""

import sys

from medvista.app.commands.check_model import main

if __name__ == "__main__":
    sys.exit(main())
