"""The processes that share a run: which of them this one is, and what they do and decide together.

Every function here that talks to the others is a collective step: all processes come to it, in the same order, or all
wait for ever. Outside of `torch.distributed` there is one process, and none of them does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch.distributed as distributed

T = TypeVar("T")
_alone = False  # while the leader works by itself: the others are waiting and would not answer


def rank() -> int:
    """The number of this process, 0 for the one that leads."""
    return int(distributed.get_rank()) if _grouped() else 0


def world_size() -> int:
    """How many processes share the run."""
    return int(distributed.get_world_size()) if _grouped() else 1


def leads() -> bool:
    """True in the one process that names, writes and prints."""
    return rank() == 0


def wait_for_all() -> None:
    """Returns when every process has come here."""
    if world_size() > 1:
        distributed.barrier()


def agreed(value: T) -> T:
    """The leader's value, in every process: for what each would otherwise find out by itself, such as from a clock."""
    if world_size() == 1:
        return value
    told = [value]
    distributed.broadcast_object_list(told, src=0)
    return told[0]


def gathered(value: T) -> list[T]:
    """Every process's value, by rank, in every process."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def totals(counts: Mapping[str, float]) -> dict[str, float]:
    """Named counts, added up over the processes; a process may lack a name.

    >>> totals({"episodes": 3})
    {'episodes': 3}
    """
    summed: dict[str, float] = {}
    for each in gathered(dict(counts)):
        for name, count in each.items():
            summed[name] = summed.get(name, 0) + count
    return summed


def led(work: Callable[[], object]) -> None:
    """Does something in the leading process while the others wait: what prepares and writes files.

    Raises:
        Exception: what `work` raised, in the leader; the others end, since the leader says why.
    """
    failure: Exception | None = None
    if leads():
        try:
            with _by_itself():
                work()
        except Exception as error:
            failure = error
    if agreed(failure is not None):
        raise failure or SystemExit(1)


@contextmanager
def _by_itself() -> Iterator[None]:
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def _grouped() -> bool:
    return not _alone and distributed.is_available() and distributed.is_initialized()
