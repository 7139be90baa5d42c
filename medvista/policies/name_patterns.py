"""Weights and layers by pattern: what a person names when they freeze a part or give it a learning rate of its own.

A pattern is a run of the dotted name, with ``*`` for anything: ``visual`` and ``layers.0`` name all that lies below
that part, ``layers.*.mlp`` the feed-forward part of every layer.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from medvista.errors import UserError

_NAMED = 3  # near names that a sentence gives


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern names a weight or a layer.

    >>> matches("model.layers.0.mlp.up_proj.weight", "layers.0"), matches("model.layers.01.mlp.weight", "layers.0")
    (True, False)
    >>> matches("model.layers.7.mlp.up_proj.weight", "layers.*.mlp")
    True
    """
    return fnmatchcase(f".{name}.", f"*.{pattern}.*")


def check_patterns(patterns: Iterable[str], names: Sequence[str], key: str) -> None:
    """Refuses patterns that name nothing.

    Args:
        patterns: as a person gave them.
        names: dotted, of everything that there is.
        key: of the configuration that holds the patterns.

    Raises:
        UserError: with the names most like the pattern.
    """
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            near = ", ".join(_nearest(pattern, names)) or "nothing like it"
            raise UserError(f"{key}: '{pattern}' names no weight of this model; near it are {near}.")


def _nearest(pattern: str, names: Sequence[str]) -> list[str]:
    """Runs of the names that are as long as the pattern, in parts, and most like it; numbers of layers count as one."""
    length = pattern.count(".") + 1
    runs: dict[str, None] = {}
    for name in names:
        parts = [re.sub(r"^\d+$", "*", part) for part in name.split(".")]
        runs |= dict.fromkeys(".".join(parts[i : i + length]) for i in range(len(parts) - length + 1))
    plain = re.sub(r"\d+", "*", pattern)
    return difflib.get_close_matches(plain, [run for run in runs if run != "*"], n=_NAMED, cutoff=0.4)
