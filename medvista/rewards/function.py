"""The reward of an episode: a weighted sum of named terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from typing import Any

from medvista.errors import UserError
from medvista.rewards.lookup import find_term
from medvista.rewards.terms import RewardTerm
from medvista.types import Reward, Trajectory


class RewardFunction:
    """Scores a finished episode.

    Args:
        weights: weight of each term by name, for example ``{"accuracy": 1.0, "format": 0.1, "tool_cost": -0.05}``; a
            name with a dot, ``"my_module.my_term"``, is a function of your own.
        options: keyword arguments of terms, by name: ``{"overlong": {"limit": 96, "margin": 32}}``.
        resources: what terms are handed that name it as a keyword: ``count_tokens``, ``evidence_masks``.

    Raises:
        UserError: a term is unknown, or an option of one, or it needs something that is not there.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        options: Mapping[str, Mapping[str, float]] | None = None,
        resources: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        options = options or {}
        for name in options:
            if name not in weights:
                raise UserError(f"rl.reward_options.{name} is about no term of rl.reward: {', '.join(weights)}.")
        self.weights = dict(weights)
        self.terms = {name: _bound(name, options.get(name, {}), resources or {}) for name in weights}

    def __call__(self, trajectory: Trajectory) -> Reward:
        """The weighted sum, with each term unweighted beside it.

        Raises:
            UserError: a term is not a finite number.
        """
        terms = {name: _finite(name, term(trajectory), trajectory) for name, term in self.terms.items()}
        return Reward(total=sum(self.weights[name] * value for name, value in terms.items()), terms=terms)


def _bound(name: str, options: Mapping[str, float], resources: Mapping[str, Callable[..., Any]]) -> RewardTerm:
    """A term with its options and resources filled in."""
    term = find_term(name)
    keywords = {key: p for key, p in signature(term).parameters.items() if p.kind is Parameter.KEYWORD_ONLY}
    for option in options:
        if option not in keywords:
            known = ", ".join(keywords) or "it has none"
            raise UserError(f"rl.reward_options.{name}: there is no option {option!r} ({known}).")
    given = {key: resources[key] for key in keywords if key in resources} | dict(options)
    missing = [key for key, p in keywords.items() if p.default is Parameter.empty and key not in given]
    if missing:
        raise UserError(f"The reward term {name!r} needs {missing[0]}: give rl.reward_options.{name}.{missing[0]}=...")
    return partial(term, **given) if given else term


def _finite(name: str, value: Any, trajectory: Trajectory) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"The reward term {name!r} gave {value!r} for question {trajectory.sample.id}, not a number.")
    return number
