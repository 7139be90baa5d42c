"""Whether environment steps are quick enough to be waited for one by one: known from how long they took."""

from __future__ import annotations

from collections import deque

SLOW_S = 0.005  # mean seconds of a step, from which it pays to take them side by side
_RECENT = 32  # steps of which the mean is taken
_TRIAL = 64  # steps side by side before one is waited for again; twice as many after each that was slow
_LONGEST_TRIAL = 4096


class StepTimes:
    """Decides step by step whether to wait for it, and remembers from one rollout to the next.

    Only steps that were waited for are measured: side by side, quick steps wait for each other and seem slow. So where
    steps are slow one is tried now and then, ever more rarely.

    >>> times = StepTimes()
    >>> for _ in range(3):
    ...     times.add(0.2)
    >>> times.wait_for_next()
    False
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._first = True  # the very first step may load what tools need
        self._unmeasured = 0  # steps not to wait for before the next trial
        self._trial = _TRIAL

    @property
    def slow(self) -> bool:
        """Whether steps were slow when one was last waited for."""
        return self._unmeasured > 0

    def wait_for_next(self) -> bool:
        """Whether the next step is expected to be quick, or is a trial."""
        if self._unmeasured == 0:
            return True
        self._unmeasured -= 1
        return False

    def add(self, seconds: float) -> None:
        """Remembers how long a step took that was waited for."""
        if self._first:
            self._first = False
            return
        self._recent.append(seconds)
        # A lone slow step may be the machine's fault; where steps were slow before, it is not.
        counted = sorted(self._recent)[:-1] if self._trial == _TRIAL else self._recent
        if counted and sum(counted) / len(counted) > SLOW_S:
            self._unmeasured, self._trial = self._trial, min(2 * self._trial, _LONGEST_TRIAL)
            self._recent.clear()
        elif len(self._recent) == _RECENT:
            self._trial = _TRIAL
