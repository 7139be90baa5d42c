"""Verifiable rewards."""

from medvista.rewards import looking, writing  # which make their terms known
from medvista.rewards.function import RewardFunction
from medvista.rewards.lookup import find_term
from medvista.rewards.terms import TERMS, RewardTerm, reward_term

__all__ = ["TERMS", "RewardFunction", "RewardTerm", "find_term", "looking", "reward_term", "writing"]
