"""SIGTERM, with which schedulers say that a machine is wanted back: training saves first, everything else ends at once.

Lightning would let a stage go on to its next checkpoint, or broadcast from within the handler while other processes are
in another collective step. So the handler only notes the wish, and the loop acts on it between two steps.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from medvista.errors import Terminated

EXIT_CODE = 128 + signal.SIGTERM  # 143, as of a process that SIGTERM has killed

_state = {"asked": False, "holds": False}


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """In this block SIGTERM raises `Terminated`: at once, or as `after_this_step` says."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    _state.update(asked=False)
    take_sigterm()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def take_sigterm() -> None:
    """Takes the signal back from who has laid a handler of its own over this one."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _on_sigterm)


@contextmanager
def after_this_step() -> Iterator[None]:
    """In this block a first SIGTERM is only noted (`is_asked_to_end`); a second one ends at once."""
    _state["holds"] = True
    try:
        yield
    finally:
        _state["holds"] = False


def is_asked_to_end() -> bool:
    """Whether SIGTERM has come to this process."""
    return _state["asked"]


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    if _state["holds"] and not _state["asked"]:
        _state["asked"] = True
        print("asked to end: this step is finished and saved first.", file=sys.stderr, flush=True)
        return
    _state["asked"] = True
    raise Terminated
