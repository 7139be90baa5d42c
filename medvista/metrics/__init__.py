"""torchmetrics metrics: thin, synchronised over processes, with the pure functions of `medvista.functional` below."""

from medvista.metrics.answers import VQAAccuracy
from medvista.metrics.episodes import TrajectoryMetrics

__all__ = ["TrajectoryMetrics", "VQAAccuracy"]
