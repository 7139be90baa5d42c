"""When one of the processes that share a run is lost: the others end, soon and with a sentence, instead of waiting."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch.distributed as distributed

from medvista.errors import UserError
from medvista.ranks import rank

_GO_ON = "the same command with resume=true goes on from the last checkpoint"
_PERIOD_S = 0.5  # Lightning looks every 5 s, and ends everything without a word
_PATIENCE_S = 30.0  # for processes to end by themselves, when this one has
_stage = "the preparation"  # that this process is in
_watched: list[subprocess.Popen[bytes]] = []


def enter_stage(name: str) -> None:
    """Remembers where this process is, to be told if it waits there in vain."""
    global _stage
    _stage = name


@contextmanager
def ending_together(timeout_minutes: float) -> Iterator[None]:
    """Tells in one sentence that this process ends because another does not answer.

    Args:
        timeout_minutes: how long one waits for the others.

    Raises:
        UserError: a process was lost.
    """
    try:
        yield
    except RuntimeError as error:
        if not _of_a_collective(error):
            raise
        raise UserError(
            f"process {rank()} ends, because another one has ended, or has not come within "
            f"trainer.timeout_minutes={timeout_minutes:g} to where this one waits for it, which is in {_stage}: what "
            f"that one said last tells why, and {_GO_ON}."
        ) from error


def watch(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """From now on it is said when one of these processes, which this one has started, fails."""
    _watched[:] = processes
    threading.Thread(target=_wait_for_failure, daemon=True).start()


def end_watched() -> None:
    """Returns when the watched processes have ended; those that do not end are killed."""
    processes = list(_watched)
    _watched.clear()
    deadline = time.monotonic() + _PATIENCE_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:  # it waits for something else than this process
            process.kill()


def _wait_for_failure() -> None:
    while _watched:
        for number, process in enumerate(list(_watched), start=1):
            if code := process.poll():
                how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"has ended with exit code {code}"
                print(f"error: process {number} of this run {how}, so all end; {_GO_ON}.", file=sys.stderr, flush=True)
                return
        time.sleep(_PERIOD_S)


def _of_a_collective(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or "gloo" in str(error)
