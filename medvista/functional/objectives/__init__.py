"""What training optimises: advantages, surrogates, how tokens add up to one loss, and the KL to a reference."""

from medvista.functional.objectives.advantages import broadcast_to_tokens, group_advantages, zero_variance
from medvista.functional.objectives.kl import kl_estimate
from medvista.functional.objectives.losses import (
    SURROGATES,
    LossCounts,
    aggregate,
    clipped_surrogate,
    negative_log_likelihood,
)

__all__ = [
    "SURROGATES",
    "LossCounts",
    "aggregate",
    "broadcast_to_tokens",
    "clipped_surrogate",
    "group_advantages",
    "kl_estimate",
    "negative_log_likelihood",
    "zero_variance",
]
