"""Evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """In this block nothing is dropped out; afterwards each part is in its own mode again.

    Not all parts are in one: a frozen one stays in evaluation mode, and of a policy whose layers checkpoint these alone
    are in training mode.
    """
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
