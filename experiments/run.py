"""``python -m experiments.run`` from a clone: the command ``medvista run``."""

import sys

from medvista.app.commands.run import main

if __name__ == "__main__":
    sys.exit(main())
