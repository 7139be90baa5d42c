"""What the episodes of an update showed, under the names that training logs."""

from __future__ import annotations

from collections.abc import Sequence

from medvista.functional.episodes import summarise
from medvista.types import Trajectory


def rollout_statistics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Rates as ``rollout/<name>`` (of `medvista.functional.episodes.rates`), mean reward terms as ``reward/<term>``."""
    shown = {f"rollout/{name}": value for name, value in summarise(trajectories).items()}
    rewards = [trajectory.reward for trajectory in trajectories if trajectory.reward]
    for term in rewards[0].terms if rewards else ():
        shown[f"reward/{term}"] = sum(reward.terms[term] for reward in rewards) / len(rewards)
    return shown
