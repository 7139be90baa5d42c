"""What training optimises: objectives by name, and the pure functions that they are put together from."""

from medvista.functional.objectives.adaptive import adapted_entropy_coefficient, adapted_kl_coefficient
from medvista.functional.objectives.advantages import broadcast_to_tokens, group_advantages, zero_variance
from medvista.functional.objectives.kl import kl_estimate
from medvista.functional.objectives.losses import LossCounts, aggregate, negative_log_likelihood
from medvista.functional.objectives.named import OBJECTIVES, make_objective
from medvista.functional.objectives.objective import Episodes, Objective, SampledTokens

__all__ = [
    "OBJECTIVES",
    "Episodes",
    "LossCounts",
    "Objective",
    "SampledTokens",
    "adapted_entropy_coefficient",
    "adapted_kl_coefficient",
    "aggregate",
    "broadcast_to_tokens",
    "group_advantages",
    "kl_estimate",
    "make_objective",
    "negative_log_likelihood",
    "zero_variance",
]
