"""torchmetrics metrics: thin, synchronised over processes, with the pure functions of `medvista.functional` below."""

from medvista.metrics.answers import VQAAccuracy
from medvista.metrics.benchmark import BenchmarkScores
from medvista.metrics.episodes import TrajectoryMetrics
from medvista.metrics.judge import Judge, ask_endpoint, ask_local_model
from medvista.metrics.judge_audit import Audit, audit_judge, read_audit, write_audit
from medvista.metrics.measures import Measure
from medvista.metrics.scoring import SCORINGS, BenchmarkScoring, scoring_for
from medvista.metrics.similarity import embedding_similarity

__all__ = [
    "SCORINGS",
    "Audit",
    "BenchmarkScores",
    "BenchmarkScoring",
    "Judge",
    "Measure",
    "TrajectoryMetrics",
    "VQAAccuracy",
    "ask_endpoint",
    "ask_local_model",
    "audit_judge",
    "embedding_similarity",
    "read_audit",
    "scoring_for",
    "write_audit",
]
