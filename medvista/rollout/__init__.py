"""Episodes -> trajectories -> tensors."""

from medvista.rollout.collector import RolloutCollector
from medvista.rollout.experience import ExperienceBatch, TokenBatch, tokenize_trajectory

__all__ = ["ExperienceBatch", "RolloutCollector", "TokenBatch", "tokenize_trajectory"]
