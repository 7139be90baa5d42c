"""A stream of training samples in which each benchmark has a share that is set, not the one its size gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Any

import numpy as np

from medvista.data.sampler import Drawn, ResumableSampler
from medvista.errors import UserError

_LONGEST = 10_000  # places after which a mixture repeats itself


class Mixture:
    """Which benchmark each place of a stream belongs to.

    After any number of places each benchmark has had its share of them, to within one: places are given away by the
    quota method (Balinski and Young 1975), and a whole period has the shares exactly.

    Args:
        weights: of each benchmark, above 0; only their ratios count.

    Raises:
        UserError: the ratios are too fine for a short period.

    >>> mixture = Mixture([2, 1])
    >>> [mixture.at(place) for place in range(4)]  # the benchmark, and how many of its places came before
    [(0, 0), (0, 1), (1, 0), (0, 2)]
    """

    def __init__(self, weights: Sequence[float]) -> None:
        fractions = [Fraction(str(weight)) for weight in weights]
        whole = [int(each * lcm(*(other.denominator for other in fractions))) for each in fractions]
        divisor = int(np.gcd.reduce(whole))
        self.per_period = [number // divisor for number in whole]
        self.period = sum(self.per_period)
        if self.period > _LONGEST:
            raise UserError(f"data.mixing: {list(weights)} repeats only after {self.period} questions; round it.")
        self._places = self._give_away()

    def at(self, place: int) -> tuple[int, int]:
        """The benchmark of a place, and how many places it has had before."""
        periods, within = divmod(place, self.period)
        benchmark, before = self._places[within]
        return benchmark, periods * self.per_period[benchmark] + before

    def _give_away(self) -> list[tuple[int, int]]:
        """A period: of those below their share, the place goes to the one with most weight per place it would have."""
        had = [0] * len(self.per_period)
        places = []
        for given in range(1, self.period + 1):
            due = [i for i, weight in enumerate(self.per_period) if had[i] * self.period < weight * given]
            chosen = max(due, key=lambda i: Fraction(self.per_period[i], had[i] + 1))
            places.append((chosen, had[chosen]))
            had[chosen] += 1
        return places


class MixedSampler(ResumableSampler):
    """An endless stream in which every benchmark has its share, and goes through its own samples before it repeats one.

    Args:
        benchmarks: of each sample.
        weights: by benchmark, see `Mixture`.
        seed: of the shuffles, one per benchmark and round through its samples.

    Raises:
        UserError: see `members`.
    """

    def __init__(self, benchmarks: Sequence[str], weights: Mapping[str, float], *, seed: int = 0) -> None:
        super().__init__(len(benchmarks), seed=seed, endless=True)
        self.weights = dict(weights)
        self._members = members(benchmarks, weights)
        self._mixture = Mixture(list(weights.values()))
        self._order = lru_cache(maxsize=2 * len(weights))(self._make_order)

    def state_dict(self) -> dict[str, Any]:
        """See `ResumableSampler`."""
        return super().state_dict() | {"mixing": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `ResumableSampler`."""
        if state.get("mixing") != self.weights:
            raise UserError(f"the checkpoint was made with data.mixing {state.get('mixing')}, now it is {self.weights}")
        super().load_state_dict(state)

    def place(self, position: int) -> Drawn:
        """See `ResumableSampler`."""
        benchmark, before = self._mixture.at(position)
        own = self._members[benchmark]
        times, offset = divmod(before, len(own))
        order = self._order(times * len(self._members) + benchmark)
        return Drawn(sample=own[int(order[offset])], times=times)

    def _make_order(self, number: int) -> np.ndarray:
        times, benchmark = divmod(number, len(self._members))
        return np.random.default_rng((self.seed, times, benchmark)).permutation(len(self._members[benchmark]))


def members(benchmarks: Sequence[str], weights: Mapping[str, float]) -> list[list[int]]:
    """The indices of each benchmark's samples, in the order of the weights.

    Raises:
        UserError: a benchmark has samples and no weight, or a weight and no samples.
    """
    found: dict[str, list[int]] = {name: [] for name in weights}
    for index, benchmark in enumerate(benchmarks):
        if benchmark not in found:
            raise UserError(f"data.mixing gives {benchmark} no weight: add one, or leave it out of the benchmarks.")
        found[benchmark].append(index)
    for name, own in found.items():
        if not own:
            raise UserError(f"data.mixing.{name}: there is nothing of {name} to train on here; take it out.")
    return list(found.values())
