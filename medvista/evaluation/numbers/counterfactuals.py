"""Did the tool matter? The same episodes with something else in the place of what their tools showed.

A replay repeats an episode's turns up to its first tool result, so that nothing differs before something else is
shown, and leaves the policy to go on from there. Episodes without a tool result have nothing to replace: they count as
they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from medvista.evaluation.numbers.results import Counterfactual, Effect, Mode
from medvista.functional.episodes import correct
from medvista.functional.spelling import normalise_answer
from medvista.functional.statistics import bootstrap_ci, paired_bootstrap_difference, paired_permutation_test
from medvista.tools import SUBSTITUTED, Donor
from medvista.types import Completion, ToolCall, Trajectory


def shown_a_result(trajectory: Trajectory) -> bool:
    """Whether a tool call of the episode succeeded and the policy went on to see what it found."""
    return _first_result(trajectory) is not None


def recorded_turns(trajectories: Sequence[Trajectory]) -> Callable[[Trajectory], Completion | None]:
    """A script for `ScriptedPolicy`: what each episode wrote up to its first tool result, and nothing from there on.

    Args:
        trajectories: finished episodes, known by the ids of their samples.
    """
    written: dict[str, list[Completion]] = {}
    for trajectory in trajectories:
        last = _first_result(trajectory)
        turns = () if last is None else trajectory.turns[: last + 1]
        written[trajectory.sample.id] = [turn.completion for turn in turns]

    def script(trajectory: Trajectory) -> Completion | None:
        own, turn = written[trajectory.sample.id], len(trajectory.turns)
        return own[turn] if turn < len(own) else None

    return script


def donors(trajectories: Sequence[Trajectory]) -> list[Donor]:
    """Everything that tools showed in some episodes, to be shown in others."""
    return [
        Donor(
            group_id=trajectory.sample.group_id,
            tool=turn.action.name,
            text=turn.result.text,
            images=turn.observation.images,
        )
        for trajectory in trajectories
        for turn in trajectory.turns
        if isinstance(turn.action, ToolCall) and turn.result and turn.result.ok and turn.observation
    ]


def counterfactual(
    true: Sequence[Trajectory],
    replayed: Mapping[str, Trajectory],
    *,
    benchmark: str,
    arm: str,
    mode: Mode,
    change: str,
    seed: int,
    resamples: int = 2000,
) -> Counterfactual:
    """What replacing the observations did to accuracy and answers.

    Args:
        true: an arm's episodes on a whole benchmark.
        replayed: by the id of its sample, each episode that was played again; the others are as they were.
        benchmark: of the episodes.
        arm: of the episodes.
        mode: how the turns were drawn.
        change: what was shown instead.
        seed: of the draws.
        resamples: of the intervals.
    """
    pairs = [(trajectory, replayed.get(trajectory.sample.id, trajectory)) for trajectory in true]
    substituted = [(before, after) for before, after in pairs if _was_substituted(after)]
    a, b, groups = _columns(pairs)
    return Counterfactual(
        benchmark=benchmark,
        arm=arm,
        mode=mode,
        change=change,
        overall=effect(pairs, resamples),
        looked=effect(substituted, resamples) if substituted else None,
        p_value=paired_permutation_test(b, a, groups),
        seed=seed,
    )


def effect(pairs: Sequence[tuple[Trajectory, Trajectory]], resamples: int = 2000) -> Effect:
    """Compares episodes with their replays; intervals resample images (`group_id`).

    Args:
        pairs: each episode as it was and as it was replayed, at least one.
        resamples: of the intervals.
    """
    before, after, groups = _columns(pairs)
    difference = paired_bootstrap_difference(after, before, groups, resamples=resamples)
    changed = np.array([_said(a) != _said(b) for a, b in pairs], dtype=float)
    interval = bootstrap_ci(changed, groups, resamples=resamples)
    return Effect(
        n=len(pairs),
        accuracy=float(before.mean()),
        accuracy_changed=float(after.mean()),
        difference=difference.difference,
        ci95=(difference.low, difference.high),
        answers_changed=float(changed.mean()),
        answers_changed_ci95=(interval.low, interval.high),
    )


def _columns(pairs: Sequence[tuple[Trajectory, Trajectory]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Whether each episode was right as it was ``[N]`` and replayed ``[N]``, and its cluster."""
    before, after = (np.array([correct(pair[side]) for pair in pairs], dtype=float) for side in (0, 1))
    return before, after, [pair[0].sample.group_id for pair in pairs]


def _said(trajectory: Trajectory) -> str | None:
    """The answer in the form in which two spellings of it are equal; None without one."""
    return None if trajectory.answer is None else normalise_answer(trajectory.answer)


def _was_substituted(trajectory: Trajectory) -> bool:
    return any(turn.result is not None and SUBSTITUTED in turn.result.data for turn in trajectory.turns)


def _first_result(trajectory: Trajectory) -> int | None:
    """Index of the first turn with a tool result that the policy saw."""
    turns = enumerate(trajectory.turns)
    return next((i for i, turn in turns if turn.result and turn.result.ok and turn.observation is not None), None)
