"""Errors that a person, not a programmer, can mend."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user gave is wrong (a key, a path, a file): one sentence says what, where and how to mend it.

    `python -m experiments.run` prints the sentence and exits with code 2, without a traceback.
    """


class Terminated(BaseException):
    """The run was asked to end (SIGTERM): nothing but the command that runs it may catch this."""
