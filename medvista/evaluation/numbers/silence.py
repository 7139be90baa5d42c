"""Arms whose every reply was empty: their 0 % is about how the model was asked, not about the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medvista.notices import notice
from medvista.types import Trajectory


def silent_arms(played: Iterable[tuple[tuple[object, ...], Sequence[Trajectory]]]) -> list[str]:
    """A line, and a notice, for each arm that never said anything.

    Args:
        played: what names an arm's episodes (arm, benchmark, mode), and the episodes.
    """
    lines = []
    for key, trajectories in played:
        replies = [turn.completion.text for trajectory in trajectories for turn in trajectory.turns]
        if replies and not any(reply.strip() for reply in replies):
            where = ", ".join(str(part) for part in key if part)
            notice("all replies were empty, so the accuracy says nothing about the model", where)
            lines.append(f"{where}: ALL {len(replies)} REPLIES WERE EMPTY. This 0 % says nothing about the model.")
    return lines
