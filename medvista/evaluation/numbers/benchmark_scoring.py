"""How a benchmark is scored, by its name: the scoring that its entry in the registry names."""

from __future__ import annotations

from dataclasses import replace

from medvista.data.registry import BENCHMARKS
from medvista.metrics import BenchmarkScoring, scoring_for


def benchmark_scoring(name: str) -> BenchmarkScoring:
    """A benchmark's scoring; of one that is not in the registry (a hospital's own), the measures of all answer types.

    >>> benchmark_scoring("slake_zh").measures == scoring_for("slake").measures
    True
    """
    scoring = BENCHMARKS[name].scoring if name in BENCHMARKS else name
    return replace(scoring_for(scoring), benchmark=name)
