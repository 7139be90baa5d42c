"""How the calls of each tool went: numbers for a run's log and report."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RECENT = 4096  # calls of a tool whose latencies are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolMetrics:
    """The calls of one tool so far."""

    calls: int
    errors: Mapping[str, int]  # by type
    cache_hits: int
    p50_ms: float  # of the last 4,096 calls, waiting included
    p95_ms: float
    batch_size: float  # mean over the calls that were run: how many were answered together


class CallMetrics:
    """Counts calls, from any number of threads. A copy starts at zero."""

    def __init__(self) -> None:
        self._tools: dict[str, _Counts] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return CallMetrics, ()

    def record(self, tool: str, seconds: float, *, error: str | None, batch_size: int, cached: bool) -> None:
        """Count a call.

        Args:
            tool: its name.
            seconds: from the call to its result.
            error: the type of its error, if it failed.
            batch_size: calls answered together with it, itself included; 0 where it was not run.
            cached: True when the result was known.
        """
        with self._lock:
            counts = self._tools.get(tool)
            if counts is None:
                counts = self._tools[tool] = _Counts()
            counts.calls += 1
            counts.hits += cached
            counts.latencies.append(seconds)
            if batch_size:
                counts.run += 1
                counts.batched += batch_size
            if error is not None:
                counts.errors[error] += 1

    def summary(self) -> dict[str, ToolMetrics]:
        """The metrics of every tool that was called, in the order of first calls."""
        with self._lock:
            return {tool: counts.metrics() for tool, counts in self._tools.items()}


@dataclass(slots=True)
class _Counts:
    calls: int = 0
    hits: int = 0
    run: int = 0
    batched: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def metrics(self) -> ToolMetrics:
        p50, p95 = np.percentile(self.latencies, [50, 95]) * 1000
        return ToolMetrics(
            calls=self.calls,
            errors=dict(self.errors),
            cache_hits=self.hits,
            p50_ms=float(p50),
            p95_ms=float(p95),
            batch_size=self.batched / self.run if self.run else 0.0,
        )
