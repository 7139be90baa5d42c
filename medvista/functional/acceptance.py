"""Which episodes become demonstrations: right, well formed, and looked where it matters."""

from __future__ import annotations

import hashlib
import json
from typing import Literal, TypeAlias

from medvista.functional.episodes import correct, looks, region_hit
from medvista.functional.spelling import normalise_answer
from medvista.types import Action, FinalAnswer, ParseError, ToolCall, Trajectory

LookRule: TypeAlias = Literal["none", "any", "hit", "fork"]
Verdict: TypeAlias = Literal[
    "kept",
    "cut off",  # a turn ended at max_new_tokens
    "malformed turn",
    "no answer",  # out of turns
    "wrong answer",
    "failed call",
    "no look",
    "look that missed",  # every look was beside the annotated regions
    "useless look",  # the answer was right without what the calls had shown, too
    "duplicate",  # the same actions about the same question and images were kept before
]


def judge_episode(trajectory: Trajectory, look: LookRule) -> Verdict:
    """What keeps an episode from being a demonstration, or ``"kept"``; the first flaw of those in `Verdict` counts.

    Args:
        trajectory: a finished episode.
        look: what it must have looked at; ``"fork"`` is judged as ``"any"`` here, since more episodes are needed.
    """
    if any(turn.completion.finish_reason == "length" for turn in trajectory.turns):
        return "cut off"
    if any(isinstance(turn.action, ParseError) for turn in trajectory.turns):
        return "malformed turn"
    if trajectory.answer is None:
        return "no answer"
    if not correct(trajectory):
        return "wrong answer"
    if any(turn.result is not None and not turn.result.ok for turn in trajectory.turns):
        return "failed call"
    return _judge_looks(trajectory, look)


def _judge_looks(trajectory: Trajectory, look: LookRule) -> Verdict:
    if look == "none":
        return "kept"
    if not any(turn.result is not None for turn in trajectory.turns):
        return "no look"
    looked, regions = looks(trajectory), trajectory.sample.regions
    # A call that shows no place, such as another window, cannot miss one.
    missed = look == "hit" and looked and regions and not region_hit(looked, regions)
    return "look that missed" if missed else "kept"


def action_sequence(trajectory: Trajectory) -> tuple[str, ...]:
    """What was done, without the thoughts: calls with their arguments, and the normalised answer.

    So the last turn of an episode may be ``"answer: yes"``, whether it said "Yes." or "yes".
    """
    return tuple(_action(turn.action) for turn in trajectory.turns)


def episode_fingerprint(trajectory: Trajectory) -> str:
    """Equal for episodes that do the same after the same first observation, whatever the question's id."""
    digest = hashlib.sha256(trajectory.observation.text.encode())
    for view in trajectory.observation.images:
        digest.update(repr(view.pixels.shape).encode() + view.pixels.tobytes())
    digest.update(json.dumps(action_sequence(trajectory)).encode())
    return digest.hexdigest()[:24]


def _action(action: Action) -> str:
    match action:
        case ToolCall():
            return f"{action.name}: {json.dumps(dict(action.arguments), sort_keys=True, default=str)}"
        case FinalAnswer():
            return f"answer: {normalise_answer(action.text)}"
        case ParseError():
            return f"error: {action.message}"
