"""A circuit breaker (Nygard, *Release It!*, 2007): what fails time after time is left alone for a while.

Closed, calls pass. After some failures in a row it opens, and calls are answered at once instead of waiting for another
failure. After a pause one call passes to try it (half-open): if that succeeds it closes, if not it stays open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class CircuitBreaker:
    """Counts failures in a row, from any number of threads. A copy starts closed.

    Args:
        failures: in a row, after which it opens; 0: never.
        pause_s: seconds until a call is let through again.
        clock: seconds of a clock that is never set back.

    >>> seconds = iter([0, 1, 31]).__next__
    >>> breaker = CircuitBreaker(2, 30.0, clock=seconds)
    >>> breaker.failed(), breaker.failed()
    (None, None)
    >>> breaker.allows(), breaker.allows(), breaker.allows()  # after 1 s, 31 s, and while that call is under way
    (False, True, False)
    """

    def __init__(self, failures: int, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures, self.pause_s = failures, pause_s
        self.opened = 0  # times
        self.refused = 0  # calls
        self._clock = clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._open_since: float | None = None
        self._next_try = 0.0
        self._trying = False
        self._open_s = 0.0  # of times that are over

    def __reduce__(self) -> tuple[type[CircuitBreaker], tuple[int, float]]:
        return CircuitBreaker, (self.failures, self.pause_s)

    def allows(self) -> bool:
        """Whether a call may be made now; each one that may is followed by `succeeded`, `failed` or `passed_over`."""
        with self._lock:
            if self._open_since is None:
                return True
            if self._trying or self._clock() < self._next_try:
                self.refused += 1
                return False
            self._trying = True
            return True

    def succeeded(self) -> None:
        """A call was answered: it is closed again."""
        with self._lock:
            if self._open_since is not None:
                self._open_s += self._clock() - self._open_since
            self._open_since, self._in_a_row, self._trying = None, 0, False

    def failed(self) -> None:
        """A call found it out of order."""
        with self._lock:
            self._in_a_row += 1
            self._trying = False
            if not self.failures or self._in_a_row < self.failures:
                return
            now = self._clock()
            self._next_try = now + self.pause_s
            if self._open_since is None:
                self._open_since = now
                self.opened += 1

    def passed_over(self) -> None:
        """A call that was allowed says nothing about it, such as one that was abandoned."""
        with self._lock:
            self._trying = False

    @property
    def open_now_s(self) -> float:
        """Seconds since it opened; 0 while it is closed."""
        with self._lock:
            return 0.0 if self._open_since is None else self._clock() - self._open_since

    @property
    def open_s(self) -> float:
        """Seconds that it was open so far, all times together."""
        now = self.open_now_s
        with self._lock:
            return self._open_s + now
