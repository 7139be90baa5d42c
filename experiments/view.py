"""``python -m experiments.view`` from a clone: the command ``medvista view``."""

import sys

from medvista.app.commands.view import main

if __name__ == "__main__":
    sys.exit(main())
