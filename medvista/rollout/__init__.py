"""Episodes -> trajectories -> tensors."""

from medvista.rollout.batches import SampleBatch, TrajectoryBatch, UpdateRequest
from medvista.rollout.collector import RolloutCollector
from medvista.rollout.demonstrated_turns import demonstrated_turns
from medvista.rollout.experience import ExperienceBatch, TokenBatch, tokenize_trajectory
from medvista.rollout.forks import Fork, ForkConfig, ForkedEngine, MakeForkCollector, call_credits
from medvista.rollout.group_filter import GroupChoice, choose_groups
from medvista.rollout.minibatches import minibatches
from medvista.rollout.statistics import rollout_statistics
from medvista.rollout.useful_looks import needs_a_look

__all__ = [
    "ExperienceBatch",
    "Fork",
    "ForkConfig",
    "ForkedEngine",
    "GroupChoice",
    "MakeForkCollector",
    "RolloutCollector",
    "SampleBatch",
    "TokenBatch",
    "TrajectoryBatch",
    "UpdateRequest",
    "call_credits",
    "choose_groups",
    "demonstrated_turns",
    "minibatches",
    "needs_a_look",
    "rollout_statistics",
    "tokenize_trajectory",
]
