"""The terms of a reward: each a pure function of a finished episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from medvista.functional.text import exact_match
from medvista.types import ParseError, StopReason, Trajectory, VQASample

RewardTerm: TypeAlias = Callable[..., float]  # of a trajectory; keywords are options and resources

TERMS: dict[str, RewardTerm] = {}


def reward_term(function: RewardTerm) -> RewardTerm:
    """Decorator that makes a term known by the function's name.

    Raises:
        ValueError: another term has that name.
    """
    name = function.__name__
    if name in TERMS:
        raise ValueError(f"A reward term named {name!r} is already registered.")
    TERMS[name] = function
    return function


@reward_term
def accuracy(trajectory: Trajectory) -> float:
    """1 when the final answer matches an accepted one, by the function the metric uses too; 0 without an answer."""
    sample, answer = trajectory.sample, trajectory.answer
    return float(answer is not None and exact_match(answer, sample.answers, sample.choices))


@reward_term
def format(trajectory: Trajectory) -> float:
    """1 when the episode ended with an answer and every turn could be parsed."""
    malformed = any(isinstance(turn.action, ParseError) for turn in trajectory.turns)
    return float(trajectory.stop_reason is StopReason.ANSWERED and not malformed)


@reward_term
def tool_success(trajectory: Trajectory) -> float:
    """1 when the answer is right, at least one tool was called and every call succeeded.

    A call is rewarded only beside a right answer: paid on its own it is spammed.
    """
    calls = trajectory.tool_turns
    succeeded = bool(calls) and all(turn.result is not None and turn.result.ok for turn in calls)
    return accuracy(trajectory) * float(succeeded)


@reward_term
def judge(trajectory: Trajectory, *, judge_answer: Callable[[str | None, VQASample], float]) -> float:
    """1 when a language model calls the answer right; of a question with options, what `accuracy` says.

    Args:
        trajectory: whose answer is judged.
        judge_answer: the verdict that the measure ``judged`` reports, too.
    """
    sample = trajectory.sample
    return accuracy(trajectory) if sample.choices else judge_answer(trajectory.answer, sample)


@reward_term
def tool_cost(trajectory: Trajectory) -> float:
    """The number of tool calls; give it a negative weight."""
    return float(len(trajectory.tool_turns))
