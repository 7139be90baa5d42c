"""The reward of an episode: a weighted sum of named terms."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from medvista.errors import UserError
from medvista.rewards.terms import TERMS
from medvista.types import Reward, Trajectory


class RewardFunction:
    """Scores a finished episode.

    Args:
        weights: weight of each term by name, for example ``{"accuracy": 1.0, "format": 0.1, "tool_cost": -0.05}``.

    Raises:
        UserError: a term is unknown.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        for name in weights:
            if name not in TERMS:
                near = difflib.get_close_matches(name, TERMS, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(TERMS))}."
                raise UserError(f"There is no reward term named {name!r}; {hint}")
        self.weights = dict(weights)

    def __call__(self, trajectory: Trajectory) -> Reward:
        """The weighted sum, with each term unweighted beside it."""
        terms = {name: TERMS[name](trajectory) for name in self.weights}
        return Reward(total=sum(self.weights[name] * value for name, value in terms.items()), terms=terms)
