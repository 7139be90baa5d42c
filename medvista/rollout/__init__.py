"""Episodes -> trajectories -> tensors."""

from medvista.rollout.collector import RolloutCollector
from medvista.rollout.experience import ExperienceBatch, TokenBatch, TrajectoryBatch, tokenize_trajectory
from medvista.rollout.statistics import rollout_statistics

__all__ = [
    "ExperienceBatch",
    "RolloutCollector",
    "TokenBatch",
    "TrajectoryBatch",
    "rollout_statistics",
    "tokenize_trajectory",
]
