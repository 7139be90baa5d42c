"""Training questions by difficulty: a stream that favours those that the policy sometimes answers rightly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medvista.data.mixing import Mixture, members
from medvista.data.sampler import Drawn
from medvista.errors import UserError
from medvista.functional.curriculum import draw_weighted, pools, sampling_weights, success_rates
from medvista.rl_settings import CurriculumConfig


class CurriculumSampler:
    """Draws questions with `sampling_weights` of what was observed of each.

    What is drawn depends on the seed, on how many were drawn before, and on what was observed until then. So processes
    that draw and observe alike stay alike, and a resumed run goes on exactly.

    Args:
        benchmarks: of each question.
        config: the floor of the weights, and how long outcomes count.
        mixing: weight of each benchmark, see `Mixture`; empty: questions of all are drawn from one pool.
        seed: of the draws.

    Raises:
        UserError: see `members`.
    """

    def __init__(
        self,
        benchmarks: Sequence[str],
        config: CurriculumConfig,
        *,
        mixing: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        self.size, self.config, self.mixing, self.seed = len(benchmarks), config, dict(mixing or {}), seed
        self.position = 0  # questions drawn so far
        self._members = members(benchmarks, self.mixing) if self.mixing else [list(range(self.size))]
        self._mixture = Mixture(list(self.mixing.values()) or [1])
        self._drawn = np.zeros(self.size, dtype=np.int64)  # times each question was drawn
        self._episodes, self._right = np.zeros(self.size), np.zeros(self.size)  # older ones count less

    def draw(self, count: int) -> list[Drawn]:
        """Use `count` questions, none of them twice unless a benchmark has too few."""
        rng = np.random.default_rng((self.seed, self.position))
        owners = [self._mixture.at(self.position + place)[0] for place in range(count)]
        chosen = {benchmark: self._choose(benchmark, owners.count(benchmark), rng) for benchmark in sorted({*owners})}
        drawn = []
        for benchmark in owners:
            index = chosen[benchmark].pop(0)
            drawn.append(Drawn(sample=index, times=int(self._drawn[index])))
            self._drawn[index] += 1
        self.position += count
        return drawn

    def observe(self, index: int, right: int, episodes: int) -> None:
        """Adds the outcome of a question's siblings; earlier ones lose weight."""
        memory = self.config.memory
        self._right[index] = memory * self._right[index] + right
        self._episodes[index] = memory * self._episodes[index] + episodes

    def pools(self) -> Mapping[str, float]:
        """See `medvista.functional.curriculum.pools`."""
        return pools(success_rates(self._right, self._episodes), self._episodes)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, and what is known of the questions that were drawn."""
        known = np.flatnonzero(self._drawn)
        columns = {"drawn": self._drawn, "right": self._right, "episodes": self._episodes}
        return {
            "position": self.position,
            **self._identity(),
            "known": known.tolist(),
            **{name: column[known].tolist() for name, column in columns.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved.

        Raises:
            UserError: it was saved with other data, mixing or seed.
        """
        for name, now in self._identity().items():
            if state.get(name) != now:
                raise UserError(
                    f"the checkpoint was made with data {name} {state.get(name)}, now it is {now}: resume with the "
                    "same data, seed and rl.curriculum, or start again with resume=false"
                )
        self.position = int(state["position"])
        known = np.array(state["known"], dtype=np.int64)
        for column, name in ((self._drawn, "drawn"), (self._right, "right"), (self._episodes, "episodes")):
            column[:] = 0
            column[known] = state[name]

    def _choose(self, benchmark: int, count: int, rng: np.random.Generator) -> list[int]:
        own = np.array(self._members[benchmark])
        weights = sampling_weights(success_rates(self._right[own], self._episodes[own]), self.config.floor)
        chosen: list[int] = []
        while len(chosen) < count:
            chosen += own[draw_weighted(weights, count - len(chosen), rng)].tolist()
        return chosen

    def _identity(self) -> dict[str, Any]:
        return {"size": self.size, "seed": self.seed, "mixing": self.mixing}
