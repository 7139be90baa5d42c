"""MED's terms on ten questions worked out by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from medvista.functional.decomposition import COUNTS, answer_counts, decomposition

T, F = True, False
# right with tools, right without, right with blanked results, a tool was called
NOW = [
    (T, T, T, T),  # known anyway
    (T, T, F, F),  # the same; blanked it went wrong
    (T, F, F, T),  # gained by a call, and by what it showed
    (T, F, T, T),  # gained by a call, whatever it showed
    (T, F, T, F),  # gained without one
    (F, T, F, T),  # a call did harm
    (F, T, T, T),  # so did what this one showed
    (F, T, F, F),  # the description of tools alone did harm
    (F, F, F, T),
    (F, F, F, F),
]
START = [(T, T, T, F), (F, T, F, T), (F, T, F, T)] + [(F, F, F, T)] * 7


def counts(questions: list[tuple[bool, bool, bool, bool]]) -> Counter[str]:
    total = Counter(dict.fromkeys(COUNTS, 0))
    for with_tools, without_tools, blanked, called in questions:
        total.update(answer_counts(with_tools=with_tools, without_tools=without_tools, blanked=blanked, called=called))
    return total


def test_gain_and_harm_are_split_by_whether_a_tool_was_called() -> None:
    shares = decomposition(counts(NOW))
    assert shares == pytest.approx(
        {
            "call_gain": 0.2,
            "schema_gain": 0.1,
            "call_harm": 0.2,
            "schema_harm": 0.1,
            "tool_gain": 0.3,
            "tool_harm": 0.3,
            "tool_effect": 0.0,
            "observation_gain": 0.2,
            "observation_harm": 0.1,
            "accuracy_without_tools": 0.5,
            "accuracy_blanked": 0.4,
        }
    )


def test_what_training_gained_is_intrinsic_or_the_tools() -> None:
    shares = decomposition(counts(NOW), counts(START))
    assert shares["intrinsic_gain"] == pytest.approx(0.5 - 0.3)
    assert shares["tool_effect_gain"] == pytest.approx(0.0 - (0.1 - 0.3))  # tools did harm at first
    assert shares["intrinsic_gain"] + shares["tool_effect_gain"] == pytest.approx(0.5 - 0.1)  # all that was gained


def test_counts_add_up_over_processes() -> None:
    parts = counts(NOW[:3]) + counts(NOW[3:])
    assert decomposition({name: parts[name] for name in COUNTS}) == decomposition(counts(NOW))


def test_nothing_is_said_of_no_questions() -> None:
    nothing = counts([])
    assert decomposition(nothing) == {}
    assert "intrinsic_gain" not in decomposition(counts(NOW), nothing)
