"""The commands, one file each: ``medvista run``, or from a clone ``python -m experiments.run``."""
