"""The reward of an episode."""

import pytest

from medvista.errors import UserError
from medvista.functional.text import exact_match
from medvista.rewards import TERMS, RewardFunction, reward_term
from medvista.types import (
    Completion,
    FinalAnswer,
    Observation,
    ParseError,
    StopReason,
    ToolCall,
    ToolError,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
)
from tests.rewards.toy_question import SAMPLE

GOOD = ToolResult(text="Zoom.")
BAD = ToolResult(error=ToolError(type=ToolErrorType.FAILED, message="no"))
CALL = ToolCall(name="zoom", arguments={})


def episode(*steps, stop_reason=StopReason.ANSWERED):
    turns = []
    for action, result in steps:
        completion = Completion(token_ids=(), log_probs=(), text="")
        turns.append(Turn(completion=completion, action=action, result=result))
    return Trajectory(sample=SAMPLE, observation=Observation(text=""), turns=tuple(turns), stop_reason=stop_reason)


RIGHT, WRONG = (FinalAnswer(text="Left lung."), None), (FinalAnswer(text="right lung"), None)
MALFORMED = (ParseError(message="?"), None)


@pytest.mark.parametrize(
    ("trajectory", "accuracy", "well_formed", "tool_success", "tool_cost"),
    [
        (episode(RIGHT), 1, 1, 0, 0),
        (episode(WRONG), 0, 1, 0, 0),
        (episode((CALL, GOOD), RIGHT), 1, 1, 1, 1),
        (episode((CALL, GOOD), WRONG), 0, 1, 0, 1),
        (episode((CALL, GOOD), (CALL, BAD), RIGHT), 1, 1, 0, 2),
        (episode(MALFORMED, (CALL, GOOD), RIGHT), 1, 0, 1, 1),
        (episode((CALL, GOOD), (CALL, None), stop_reason=StopReason.MAX_TURNS), 0, 0, 0, 2),
        (episode(MALFORMED, stop_reason=StopReason.MAX_TOKENS), 0, 0, 0, 0),
    ],
)
def test_each_term_pays_for_what_it_says(trajectory, accuracy, well_formed, tool_success, tool_cost):
    assert TERMS["accuracy"](trajectory) == accuracy
    assert TERMS["format"](trajectory) == well_formed
    assert TERMS["tool_success"](trajectory) == tool_success
    assert TERMS["tool_cost"](trajectory) == tool_cost


def test_the_total_is_the_weighted_sum_of_the_terms():
    weights = {"accuracy": 1.0, "format": 0.1, "tool_success": 0.25, "tool_cost": -0.05}
    reward = RewardFunction(weights)(episode((CALL, GOOD), RIGHT))
    assert reward.terms == {"accuracy": 1, "format": 1, "tool_success": 1, "tool_cost": 1}
    assert reward.total == pytest.approx(1.3)


def test_accuracy_is_the_metric_itself():
    assert exact_match("Left lung.", SAMPLE.answers, SAMPLE.choices)
    assert RewardFunction({"accuracy": 1.0})(episode(RIGHT)).total == 1.0


def test_an_unknown_term_names_the_nearest():
    with pytest.raises(UserError, match="no reward term named 'acuracy'; did you mean 'accuracy'"):
        RewardFunction({"acuracy": 1.0})


def test_a_term_cannot_be_replaced():
    def accuracy(trajectory):
        return 1.0

    with pytest.raises(ValueError, match="already registered"):
        reward_term(accuracy)
