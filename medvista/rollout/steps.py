"""Environment steps of many episodes: in line, or in threads, where a slow one holds up nobody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Generic, Protocol, TypeVar

Outcome = TypeVar("Outcome")


class Steps(Protocol[Outcome]):
    """Takes steps, and gives their outcomes as they come."""

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """What the built-in `map` gives, in order."""

    def start(self, index: int, step: Callable[[], Outcome]) -> None:
        """Begin the step of an episode."""

    def take(self) -> list[tuple[int, Outcome]]:
        """Outcomes that are there, by episode, sorted; waits for one where there is none."""

    def close(self) -> None:
        """Begin no step any more."""


class InlineSteps(Generic[Outcome]):
    """Each step is taken when it is begun, in the calling thread: quickest while steps take less than a millisecond."""

    def __init__(self) -> None:
        self._done: list[tuple[int, Outcome]] = []

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """See `Steps`."""
        return list(map(function, *arguments))

    def start(self, index: int, step: Callable[[], Outcome]) -> None:
        """See `Steps`."""
        self._done.append((index, step()))

    def take(self) -> list[tuple[int, Outcome]]:
        """All of them."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Nothing runs."""


class ThreadedSteps(Generic[Outcome]):
    """Steps are taken in threads.

    Args:
        threads: at most.
        patience_s: seconds to wait for the others once the first outcome is there. While all steps take about as long
            they are all handed over together, and the engine's batches stay whole; a slow one is left behind.
    """

    def __init__(self, threads: int, patience_s: float) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="episode")
        self._patience_s = patience_s
        self._running: dict[Future[Outcome], int] = {}

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """See `Steps`."""
        return list(self._pool.map(function, *arguments))

    def start(self, index: int, step: Callable[[], Outcome]) -> None:
        """See `Steps`."""
        self._running[self._pool.submit(step)] = index

    def take(self) -> list[tuple[int, Outcome]]:
        """See `Steps`."""
        wait(self._running, return_when=FIRST_COMPLETED)
        done, _ = wait(self._running, timeout=self._patience_s)
        return sorted(((self._running.pop(future), future.result()) for future in done), key=lambda pair: pair[0])

    def close(self) -> None:
        """Leaves steps that run to themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
