"""Each way in which reinforcement learning goes wrong, told from its numbers, and what is no such thing."""

from __future__ import annotations

import pytest

from medvista.functional.collapse import symptoms

CALM = {
    "accuracy": 0.5,
    "reward": 0.55,
    "entropy": 0.4,
    "tool_rate": 0.8,
    "tool_calls_mean": 1.0,
    "parse_error_rate": 0.05,
    "tokens_mean": 40.0,
    "advantage_with_call": 0.1,
    "advantage_without_call": -0.1,
    "term/accuracy": 0.5,
    "term/format": 0.05,
}


def course(updates: int = 20, **ends: float) -> list[dict[str, float]]:
    """Numbers that move in a straight line from `CALM` to where they end."""
    shares = [update / (updates - 1) for update in range(updates)]
    return [CALM | {name: CALM[name] + share * (end - CALM[name]) for name, end in ends.items()} for share in shares]


@pytest.mark.parametrize(
    ("ends", "name", "advice"),
    [
        ({"entropy": 0.01}, "entropy collapse", "rl.grpo.entropy_target"),
        (
            {"tool_rate": 0.0, "advantage_with_call": -0.5, "advantage_without_call": 0.3},
            "tool collapse",
            "with a call, +0.",
        ),
        ({"tool_calls_mean": 2.5}, "tool spam", "use tool_success"),
        ({"parse_error_rate": 0.6}, "parse failures", "format"),
        ({"tokens_mean": 200.0}, "length", "overlong"),
        ({"tokens_mean": 4.0}, "length", "given up"),
        ({"reward": 0.9, "accuracy": 0.3, "term/format": 0.6}, "reward hacking", "format is earned in its place"),
    ],
)
def test_a_symptom_is_named_with_advice(ends: dict[str, float], name: str, advice: str) -> None:
    (found,) = symptoms(course(**ends))
    assert found.name == name
    assert advice in found.sentence


@pytest.mark.parametrize("cause", [{"tool_calls_mean": 2.5}, {"tool_rate": 0.0}])
def test_spam_and_collapse_are_named_before_accuracy_falls(cause: dict[str, float]) -> None:
    # Calls go wrong over 20 updates; accuracy stands still meanwhile and falls only then.
    history = course(**cause) + [CALM | cause | {"accuracy": 0.1}] * 10
    named = next(update for update in range(len(history)) if symptoms(history[: update + 1]))
    assert history[named]["accuracy"] == CALM["accuracy"]


@pytest.mark.parametrize(
    "ends",
    [
        {},
        {"accuracy": 0.9, "reward": 1.0, "term/accuracy": 0.9},
        {"tool_calls_mean": 2.5, "accuracy": 0.8},  # more calls that help
        {"tokens_mean": 100.0, "accuracy": 0.8},  # longer, and better for it
        {"tool_rate": 0.5},
        {"entropy": 0.2},
    ],
)
def test_healthy_training_is_left_in_peace(ends: dict[str, float]) -> None:
    assert symptoms(course(**ends)) == []


def test_nothing_is_said_of_a_few_updates_or_of_numbers_that_are_missing() -> None:
    assert symptoms(course(updates=9, tool_rate=0.0)) == []
    assert symptoms([{"accuracy": 0.5}] * 20) == []
