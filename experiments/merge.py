"""``python -m experiments.merge`` from a clone: the command ``medvista merge``."""

import sys

from medvista.app.commands.merge import main

if __name__ == "__main__":
    sys.exit(main())
