"""Episodes -> trajectories -> tensors."""

from medvista.rollout.collector import RolloutCollector
from medvista.rollout.experience import ExperienceBatch, TokenBatch, TrajectoryBatch, tokenize_trajectory

__all__ = ["ExperienceBatch", "RolloutCollector", "TokenBatch", "TrajectoryBatch", "tokenize_trajectory"]
