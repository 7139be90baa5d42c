"""Which of the groups played an update learns from, and how many are played in place of the others.

A group whose siblings all earned the same has no advantage and teaches nothing (DAPO, arXiv 2503.14476). Where more
groups are played than an update needs, it learns from the first useful ones in the order in which their questions were
drawn. That order is fixed before anything is played; the order in which episodes end would prefer short ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from medvista.functional.objectives import zero_variance


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChoice:
    """What becomes of the groups played so far; groups are named by their index, in the order they were played."""

    useful: tuple[int, ...]  # siblings earned differently; as many as the update should have, at most
    surplus: tuple[int, ...]  # the same, beyond that: left out
    flat: tuple[int, ...]  # siblings all earned the same
    refill: int  # groups to play next, in place of flat ones; 0 ends the rollout

    @property
    def kept(self) -> tuple[int, ...]:
        """Groups to learn from: the useful ones, or one flat group, so that there is an optimiser step."""
        return self.useful or self.flat[:1]

    @property
    def played(self) -> int:
        """How many groups were played."""
        return len(self.useful) + len(self.surplus) + len(self.flat)

    @property
    def zero_variance_share(self) -> float:
        """Share of the groups played that are flat."""
        return len(self.flat) / self.played


def choose_groups(
    rewards_PG: Sequence[Sequence[float]], *, wanted: int, refills_left: int, tolerance: float | None = 1e-6
) -> GroupChoice:
    """Sets flat groups aside and says how many to play in their place.

    Args:
        rewards_PG: of every group played for this update, ``[groups, siblings]``, total rewards or one term of them; at
            least one group.
        wanted: useful groups that the update should have.
        refills_left: how often more may still be played.
        tolerance: difference between siblings up to which they count as equal; None: no group is flat.

    >>> played = [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]  # all of the second are right, all of the third are wrong
    >>> choice = choose_groups(played, wanted=3, refills_left=1)
    >>> choice.kept, choice.refill
    ((0,), 2)
    >>> played += [[0.0, 0.0], [0.0, 1.0]]  # the two that were played instead
    >>> choice = choose_groups(played, wanted=3, refills_left=0)
    >>> choice.kept, choice.refill  # one is still missing, but nothing more is played
    ((0, 4), 0)
    """
    rewards = torch.tensor(rewards_PG)
    flat = [False] * len(rewards) if tolerance is None else zero_variance(rewards, tolerance).tolist()
    useful = tuple(index for index, same in enumerate(flat) if not same)
    return GroupChoice(
        useful=useful[:wanted],
        surplus=useful[wanted:],
        flat=tuple(index for index, same in enumerate(flat) if same),
        refill=max(0, wanted - len(useful)) if refills_left > 0 else 0,
    )
