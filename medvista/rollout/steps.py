"""Environment steps of many episodes: in line, in threads where a slow one holds up nobody else, or as it turns out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any, Generic, Protocol, TypeVar

from medvista.rollout.step_times import StepTimes

Outcome = TypeVar("Outcome")

MOMENT_S = 0.05  # for which a step is waited that is expected to be quick
_LEFT_BEHIND_S = 0.2  # what a step counts as that took longer than that
_PATIENCE_SHARE, _LEAST_PATIENCE_S, _MOST_PATIENCE_S = 0.25, 0.02, 0.1


class Steps(Protocol[Outcome]):
    """Takes steps, and gives their outcomes as they come."""

    @property
    def under_way(self) -> int:
        """Steps that were begun and whose outcome has not been taken."""

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """What the built-in `map` gives, in order."""

    def start(self, index: int, step: Callable[[], Outcome]) -> None:
        """Begin the step of an episode."""

    def take(self, *, wait: bool) -> list[tuple[int, Outcome]]:
        """Outcomes that are there, by episode, sorted.

        Args:
            wait: for one where there is none, and a little for others that come with it.
        """

    def close(self) -> None:
        """Begin no step any more."""


class InlineSteps(Generic[Outcome]):
    """Each step is taken when it is begun, in the calling thread: quickest while steps take less than a millisecond."""

    def __init__(self) -> None:
        self._done: list[tuple[int, Outcome]] = []

    @property
    def under_way(self) -> int:
        """See `Steps`."""
        return len(self._done)

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """See `Steps`."""
        return list(map(function, *arguments))

    def start(self, index: int, step: Callable[[], Outcome]) -> None:
        """See `Steps`."""
        self._done.append((index, step()))

    def take(self, *, wait: bool) -> list[tuple[int, Outcome]]:
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
            they are all handed over together, and the engine's batches stay whole; a slow one is left behind. None: a
            quarter of what steps take lately.
    """

    def __init__(self, threads: int, patience_s: float | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="episode")
        self._patience_s = patience_s
        self._usual_s = 0.0  # what a step takes lately
        self._running: dict[Future[tuple[Outcome, float]], int] = {}

    @property
    def under_way(self) -> int:
        """See `Steps`."""
        return len(self._running)

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """See `Steps`."""
        return list(self._pool.map(function, *arguments))

    def start(self, index: int, step: Callable[[], Outcome]) -> None:
        """See `Steps`."""
        self._running[self._pool.submit(_timed, step)] = index

    def take(self, *, wait: bool) -> list[tuple[int, Outcome]]:
        """See `Steps`."""
        if wait and self._running:
            wait_for(self._running, return_when=FIRST_COMPLETED)
            wait_for(self._running, timeout=self._patience())
        outcomes = []
        for future in [future for future in self._running if future.done()]:
            outcome, seconds = future.result()
            self._usual_s += 0.1 * (seconds - self._usual_s) if self._usual_s else seconds
            outcomes.append((self._running.pop(future), outcome))
        return sorted(outcomes, key=lambda pair: pair[0])

    def close(self) -> None:
        """Leaves steps that run to themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _patience(self) -> float:
        if self._patience_s is not None:
            return self._patience_s
        return min(max(_PATIENCE_SHARE * self._usual_s, _LEAST_PATIENCE_S), _MOST_PATIENCE_S)


class AdaptiveSteps(ThreadedSteps[Outcome]):
    """Steps are taken one after another while they are quick, and side by side when they turn out slow.

    A step is waited for a moment, so that quick ones are done before the engine goes on, in the same order each time;
    one that takes longer is left to itself.

    Args:
        threads: at most.
        times: how long steps took so far; shared from one rollout to the next.
        patience_s: see `ThreadedSteps`.
    """

    def __init__(self, threads: int, times: StepTimes, patience_s: float | None = None) -> None:
        super().__init__(threads, patience_s)
        self.times = times

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """See `Steps`."""
        return list(map(function, *arguments))

    def start(self, index: int, step: Callable[[], Outcome]) -> None:
        """See `Steps`."""
        if not self.times.wait_for_next():
            super().start(index, step)
            return
        begun = time.perf_counter()
        super().start(index, step)
        _, unfinished = wait_for([next(reversed(self._running))], timeout=MOMENT_S)
        self.times.add(_LEFT_BEHIND_S if unfinished else time.perf_counter() - begun)


def _timed(step: Callable[[], Outcome]) -> tuple[Outcome, float]:
    begun = time.perf_counter()
    return step(), time.perf_counter() - begun
