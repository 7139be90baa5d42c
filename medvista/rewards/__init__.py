"""Verifiable rewards."""

from medvista.rewards.function import RewardFunction
from medvista.rewards.terms import TERMS, RewardTerm, reward_term

__all__ = ["TERMS", "RewardFunction", "RewardTerm", "reward_term"]
