"""``python -m experiments.tools`` from a clone: the command ``medvista tools``."""

import sys

from medvista.app.commands.tools import main

if __name__ == "__main__":
    sys.exit(main())
