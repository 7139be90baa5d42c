"""The modes of demonstrations, and mixing them in set shares (``sft.mix``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Literal, TypeAlias, get_args

from medvista.errors import UserError
from medvista.notices import notice
from medvista.types import Trajectory

Mode: TypeAlias = Literal[
    "look",  # a call before the answer
    "direct",  # an answer alone
    "reflection",  # a wrong look, then its correction
]


def mode_of(trajectory: Trajectory) -> Mode:
    """What a demonstration shows."""
    if not all(turn.learned for turn in trajectory.turns):
        return "reflection"
    return "look" if trajectory.tool_turns else "direct"


def mix(trajectories: Sequence[Trajectory], shares: Mapping[str, float]) -> list[Trajectory]:
    """Demonstrations in which each mode has its share: those of modes that are too rare are repeated.

    Each demonstration of a mode with a share is there at least once; modes without one are left out.

    Args:
        trajectories: the demonstrations.
        shares: of the modes, divided by their sum; none: the demonstrations as they are.

    Raises:
        UserError: there is no such mode, or no demonstration of one that has a share.
    """
    if not shares:
        return list(trajectories)
    by_mode: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        by_mode.setdefault(mode_of(trajectory), []).append(trajectory)
    wanted = _checked(shares, by_mode)
    for name in by_mode.keys() - wanted.keys():
        for trajectory in by_mode[name]:
            notice(f"demonstrations of mode {name} were left out (sft.mix)", f"question {trajectory.sample.id}")
    total = max(ceil(len(by_mode[name]) / share) for name, share in wanted.items())
    return [
        by_mode[name][index % len(by_mode[name])]
        for name, share in wanted.items()
        for index in range(max(len(by_mode[name]), round(share * total)))
    ]


def _checked(shares: Mapping[str, float], by_mode: Mapping[str, Sequence[Trajectory]]) -> dict[str, float]:
    for name, share in shares.items():
        if name not in get_args(Mode):
            raise UserError(f"sft.mix has no mode '{name}': use {', '.join(get_args(Mode))}.")
        if share < 0:
            raise UserError(f"sft.mix.{name} must be at least 0, not {share:g}.")
        if share and name not in by_mode:
            raise UserError(f"sft.mix asks for demonstrations of mode '{name}', and there is none.")
    total = sum(shares.values())
    if not total:
        raise UserError("sft.mix gives every mode a share of 0: give one a larger share.")
    return {name: share / total for name, share in shares.items() if share}
