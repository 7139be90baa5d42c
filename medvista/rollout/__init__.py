"""Episodes -> trajectories -> tensors."""

from medvista.rollout.batches import SampleBatch, TrajectoryBatch, UpdateRequest
from medvista.rollout.collector import RolloutCollector
from medvista.rollout.experience import ExperienceBatch, TokenBatch, tokenize_trajectory
from medvista.rollout.group_filter import GroupChoice, choose_groups
from medvista.rollout.minibatches import minibatches
from medvista.rollout.statistics import rollout_statistics

__all__ = [
    "ExperienceBatch",
    "GroupChoice",
    "RolloutCollector",
    "SampleBatch",
    "TokenBatch",
    "TrajectoryBatch",
    "UpdateRequest",
    "choose_groups",
    "minibatches",
    "rollout_statistics",
    "tokenize_trajectory",
]
