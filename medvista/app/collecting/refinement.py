"""What is made of an episode that is kept: longer thoughts, and a second one that errs first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from medvista.app.arms import WITH_TOOLS
from medvista.app.collecting.rationales import RationaleWriter
from medvista.app.collecting.reflections import add_wrong_look
from medvista.app.players import Players
from medvista.policies import Engine, SamplingParams
from medvista.rollout import RolloutCollector
from medvista.types import Trajectory


class Refined(NamedTuple):
    """The demonstrations that an episode becomes, and what was done, counted."""

    demonstrations: Sequence[Trajectory]
    notes: Counter[str]


class Refinement:
    """Rewrites thoughts (``collect.rationales``) and adds wrong looks (``collect.reflection_share``).

    Args:
        players: of the run.
    """

    def __init__(self, players: Players) -> None:
        config = players.config
        self.share, self.seed, self.max_turns = config.collect.reflection_share, config.seed, config.env.max_turns
        self.make_collector: Callable[[Engine], RolloutCollector] = lambda engine: players.collector(
            None, WITH_TOOLS, engine
        )
        self.writer: RationaleWriter | None = None
        if config.collect.rationales and players.endpoint is not None:
            params = SamplingParams(max_new_tokens=config.max_new_tokens, temperature=config.collect.temperature)
            system = players.toolbox("tools").describe("schemas")
            self.writer = RationaleWriter(players.endpoint, system, params)

    @property
    def asks(self) -> bool:
        """Whether a model is asked, which is better done for many episodes at once."""
        return self.writer is not None

    def refine(self, episodes: Sequence[Trajectory]) -> list[Refined]:
        """The demonstrations of each episode, itself the first."""
        if self.writer is None:
            return [self._with_reflection(episode, Counter()) for episode in episodes]
        return [self._with_reflection(episode, notes) for episode, notes in self.writer.rewrite(episodes)]

    def _with_reflection(self, episode: Trajectory, notes: Counter[str]) -> Refined:
        if np.random.default_rng((self.seed, episode.seed)).random() >= self.share:
            return Refined([episode], notes)
        erring, outcome = add_wrong_look(episode, self.make_collector, max_turns=self.max_turns, seed=self.seed)
        return Refined([episode] if erring is None else [episode, erring], notes + Counter([outcome]))
