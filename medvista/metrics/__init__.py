"""torchmetrics metrics: thin, synchronised over processes, with the pure functions of `medvista.functional` below."""

from medvista.metrics.answers import VQAAccuracy
from medvista.metrics.benchmark import BenchmarkScores
from medvista.metrics.episodes import TrajectoryMetrics
from medvista.metrics.measures import Measure
from medvista.metrics.scoring import SCORINGS, BenchmarkScoring, scoring_for

__all__ = [
    "SCORINGS",
    "BenchmarkScores",
    "BenchmarkScoring",
    "Measure",
    "TrajectoryMetrics",
    "VQAAccuracy",
    "scoring_for",
]
