"""What the episodes of an update showed, under the names that training logs."""

from __future__ import annotations

from collections.abc import Sequence

from medvista.functional.episodes import episode_totals, rates
from medvista.ranks import totals
from medvista.types import Trajectory


def rollout_statistics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Rates as ``rollout/<name>`` (of `medvista.functional.episodes.rates`), mean reward terms as ``reward/<term>``.

    They are of the episodes of all processes: a collective step.
    """
    rewards = [trajectory.reward for trajectory in trajectories if trajectory.reward]
    terms = rewards[0].terms if rewards else ()
    summed = {f"reward/{term}": sum(reward.terms[term] for reward in rewards) for term in terms}
    counts = totals(episode_totals(trajectories) | summed | {"rewarded": len(rewards)})
    shown = {f"rollout/{name}": value for name, value in rates(counts).items()}
    return shown | {name: value / counts["rewarded"] for name, value in counts.items() if name.startswith("reward/")}
