"""Which questions are worth playing: those that are sometimes answered rightly and sometimes not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HARD, EASY = 0.25, 0.75  # success rates below and above which a question counts as hard and easy


def success_rates(right: Floats, episodes: Floats) -> Floats:
    """Each question's success rate ``[N]``, with half a right and half a wrong episode added (Jeffreys' prior).

    >>> success_rates(np.array([0.0, 3.0]), np.array([0.0, 3.0]))
    array([0.5  , 0.875])
    """
    rates: Floats = (right + 0.5) / (episodes + 1)
    return rates


def sampling_weights(rates: Floats, floor: float) -> Floats:
    """``floor + (1 - floor) 4 p (1 - p)``, ``[N]``: 1 at a success rate of one half, at least `floor` elsewhere.

    ``p (1 - p)`` is the variance of a reward of 0 or 1, and with it what a group of siblings can teach (learnability:
    arXiv 2408.15099; in reinforcement learning of language models: arXiv 2502.12272).

    >>> sampling_weights(np.array([0.5, 0.0, 0.1]), floor=0.1)
    array([1.   , 0.1  , 0.424])
    """
    return floor + (1 - floor) * 4 * rates * (1 - rates)


def draw_weighted(weights: Floats, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of `count` questions, none twice: one by one, each with a chance in proportion to its weight.

    By the largest of ``u ** (1 / weight)`` (Efraimidis and Spirakis 2006).
    """
    keys = np.log(rng.random(len(weights))) / weights
    return np.argsort(-keys, kind="stable")[:count]


def pools(rates: Floats, episodes: Floats) -> Mapping[str, float]:
    """The share of questions that were not played yet, and of those that are hard, in between and easy.

    >>> pools(np.array([0.5, 0.1, 0.5, 0.9]), np.array([0.0, 8.0, 8.0, 8.0]))
    {'unseen': 0.25, 'hard': 0.25, 'intermediate': 0.25, 'easy': 0.25}
    """
    seen = episodes > 0
    hard, easy = seen & (rates < HARD), seen & (rates > EASY)
    shares = {"unseen": ~seen, "hard": hard, "intermediate": seen & ~hard & ~easy, "easy": easy}
    return {name: float(pool.mean()) for name, pool in shares.items()}
