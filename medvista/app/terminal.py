"""Lines for a person: by one process of several, in words, in characters that the terminal has."""

from __future__ import annotations

import os
import sys
from textwrap import fill

WIDTH = 100  # columns
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
_PLAIN = str.maketrans({"−": "-", "–": "-", "─": "-", "×": "x", "…": "~"})


def leads() -> bool:
    """Whether this process is the one that prints, of several that share the work."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def say(line: str) -> None:
    """Prints a line on standard error, in the process that leads."""
    if leads():
        print(printable(wrapped(line, "  "), sys.stderr.encoding), file=sys.stderr, flush=True)


def wrapped(text: str, further: str = "") -> str:
    """The text in lines that fit the terminal, those after the first begun with ``further``."""
    return fill(text, WIDTH, subsequent_indent=further, break_long_words=False, break_on_hyphens=False)


def printable(text: str, encoding: str | None) -> str:
    """The text in characters that a terminal of that encoding has.

    >>> printable("−2.7 – ─", "ascii")
    '-2.7 - -'
    """
    encoding = encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def in_words(seconds: float) -> str:
    """A duration as a person would say it.

    >>> in_words(7.6), in_words(312), in_words(4000)
    ('8 s', '5 min', '1 h 7 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
