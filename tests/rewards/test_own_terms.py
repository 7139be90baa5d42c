"""A person's own reward terms, options of terms, and what is said about mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medvista.errors import UserError
from medvista.rewards import RewardFunction
from medvista.types import (
    Completion,
    FinalAnswer,
    Observation,
    StopReason,
    ToolCall,
    ToolResult,
    Trajectory,
    Turn,
)
from tests.rewards.toy_question import SAMPLE

CODE = """
def short(trajectory, *, words: float = 3):
    return float(len(trajectory.answer.split()) <= words)

def broken(trajectory):
    return float("nan")

NUMBER = 3
"""


def said(*texts: str) -> Trajectory:
    """An episode that calls a tool with each text but the last, which answers."""
    sample = replace(SAMPLE, id="q1")
    actions = [ToolCall(name="zoom", arguments={"box": i}) for i in range(len(texts) - 1)]
    turns = tuple(
        Turn(completion=Completion(token_ids=(), log_probs=(), text=text), action=action, result=ToolResult())
        for text, action in zip(texts, [*actions, FinalAnswer(text=texts[-1])], strict=True)
    )
    return Trajectory(sample=sample, observation=Observation(text=""), turns=turns, stop_reason=StopReason.ANSWERED)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module that a run in this folder finds; from a function's name to the term's."""
    name = f"own_terms_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda function: f"{name}.{function}"


def test_a_function_of_ones_own_is_a_term_like_any_other(own: Callable[[str], str]) -> None:
    term = own("short")
    reward = RewardFunction({"accuracy": 1.0, term: 0.5})(said("left lung"))
    assert reward.terms == {"accuracy": 1.0, term: 1.0}
    assert reward.total == 1.5
    assert RewardFunction({term: 1.0}, {term: {"words": 1}})(said("left lung")).total == 0


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("shrt", "There is no function 'shrt' in the module of the reward term .*; did you mean '.*short'?"),
        ("NUMBER", "There is no function 'NUMBER'"),
    ],
)
def test_a_wrong_name_of_ones_own_is_told(own: Callable[[str], str], function: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        RewardFunction({own(function): 1.0})


def test_a_module_that_is_not_there_is_told_with_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'no_such_module\.term' cannot be imported: ModuleNotFoundError: .*looked in"):
        RewardFunction({"no_such_module.term": 1.0})


def test_a_term_that_gives_no_number_is_named_with_its_question(own: Callable[[str], str]) -> None:
    with pytest.raises(UserError, match=r"broken' gave nan for question q1"):
        RewardFunction({own("broken"): 1.0})(said("left"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": {"limit": 1}}, "is about no term of rl.reward"),
        ({"accuracy": {"limit": 1}}, "no option 'limit'"),
        ({"overlong": {"limits": 1}}, r"no option 'limits' \(limit, margin, count_tokens\)"),
        ({"overlong": {"limit": 9}}, r"'overlong' needs margin: give rl.reward_options.overlong.margin=..."),
    ],
)
def test_wrong_options_are_told(options: dict[str, dict[str, float]], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        RewardFunction({"accuracy": 1.0, "overlong": 1.0}, options, {"count_tokens": len})


@pytest.mark.parametrize(("tokens", "expected"), [(60, 0.0), (64, 0.0), (80, -0.5), (96, -1.0), (300, -1.0)])
def test_what_is_too_long_costs_softly(tokens: int, expected: float) -> None:
    options = {"overlong": {"limit": 96.0, "margin": 32.0}}
    reward = RewardFunction({"overlong": 1.0}, options, {"count_tokens": lambda text: int(text)})
    assert reward(said(str(tokens - 20), "20")).total == expected


def test_costs_of_turns_count_turns() -> None:
    assert RewardFunction({"turn_cost": -0.1})(said("a", "b", "c")).total == pytest.approx(-0.3)
