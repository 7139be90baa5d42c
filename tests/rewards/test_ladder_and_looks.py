"""The ladder of repetition, and terms about where an episode looked and what it outlined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medvista.metrics import SCORINGS
from medvista.rewards import TERMS, RewardFunction
from medvista.types import (
    Action,
    Completion,
    FinalAnswer,
    Mask,
    Observation,
    ParseError,
    Region,
    StopReason,
    ToolCall,
    ToolError,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)
from tests.rewards import toy_question

SAMPLE = replace(toy_question.SAMPLE, regions=(Region(box=(10, 10, 20, 20)),))
RIGHT = FinalAnswer(text="left lung")


def episode(*steps: tuple[Action, ToolResult | None, str], sample: VQASample = SAMPLE) -> Trajectory:
    turns = tuple(
        Turn(completion=Completion(token_ids=(), log_probs=(), text=text), action=action, result=result)
        for action, result, text in steps
    )
    return Trajectory(sample=sample, observation=Observation(text=""), turns=turns, stop_reason=StopReason.ANSWERED)


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("the left lung shows a nodule with a smooth border", 0.0),
        ("a b c d e f g h i j k l m a b c d e f", -1.5),  # 3 of 16 phrases stand there already
        ("a b c d e f g h a b c d e f g h", -2.0),  # 5 of 13
        ("no no no no no no no", -3.0),  # 3 of 4
    ],
)
def test_repeating_oneself_costs_the_more_the_more_is_repeated(text: str, cost: float) -> None:
    trajectory = episode((RIGHT, None, text))
    assert TERMS["repetition"](trajectory) == cost
    paid = cost == 0
    assert TERMS["gated_format"](trajectory) == TERMS["gated_accuracy"](trajectory) == float(paid)
    assert TERMS["accuracy"](trajectory) == 1  # which alone does not mind


def test_a_broken_format_shuts_the_gate_to_correctness() -> None:
    trajectory = episode((ParseError(message="?"), None, "hm"), (RIGHT, None, "left"))
    assert TERMS["gated_format"](trajectory) == TERMS["gated_accuracy"](trajectory) == 0


def test_the_same_call_again_is_a_repetition_and_another_one_is_not() -> None:
    call = ToolCall(name="zoom", arguments={"box": [0, 0, 5, 5]})
    other = replace(call, arguments={"box": [0, 0, 9, 9]})
    assert TERMS["repetition"](episode((call, None, "look"), (call, None, "again"), (RIGHT, None, "left"))) == -1.5
    assert TERMS["repetition"](episode((call, None, "look"), (other, None, "again"), (RIGHT, None, "left"))) == 0


def looked(*boxes: tuple[float, float, float, float], **options: Any) -> Trajectory:
    call = ToolCall(name="zoom", arguments={})
    results = [ToolResult(regions=(Region(box=box),)) for box in boxes]
    return episode(*((call, result, "") for result in results), (RIGHT, None, ""), **options)


def test_a_look_is_judged_by_the_annotated_region() -> None:
    half = looked((10, 10, 20, 15.5), (0, 0, 5, 5))
    assert TERMS["region_hits"](half) == 0.5  # the first contains the centre (15, 15), the second misses
    assert TERMS["region_iou"](half) == pytest.approx((5.5 / 10 + 0) / 2)
    assert TERMS["region_hits"](looked()) == TERMS["region_iou"](looked()) == 0
    unknown = replace(SAMPLE, regions=())
    assert TERMS["region_hits"](looked((0, 0, 30, 30), sample=unknown)) == 0


def test_looking_everywhere_does_not_pay() -> None:
    one, many = looked((12, 12, 18, 18)), looked((12, 12, 18, 18), (0, 0, 5, 5), (30, 30, 40, 40))
    assert TERMS["region_hits"](one) > TERMS["region_hits"](many)


def square(side: int, size: int = 8) -> np.ndarray:
    pixels = np.zeros((size, size), dtype=bool)
    pixels[:side, :side] = True
    return pixels


def test_an_outline_is_judged_by_dice_and_by_what_later_calls_gained() -> None:
    call = ToolCall(name="segment", arguments={})
    failed = ToolResult(error=ToolError(type=ToolErrorType.FAILED, message="no"))
    first, last = (ToolResult(masks=(Mask(pixels=square(side)),)) for side in (2, 3))
    trajectory = episode((call, first, ""), (call, failed, ""), (call, last, ""), (RIGHT, None, ""))
    truth = {"evidence_masks": lambda sample: (Mask(pixels=square(4)),)}

    def term(name: str, resources: dict[str, Any] = truth) -> float:
        return RewardFunction({name: 1.0}, resources=resources)(trajectory).total

    assert term("mask_dice") == pytest.approx(2 * 9 / (9 + 16))
    assert term("mask_improvement") == pytest.approx(2 * 9 / (9 + 16) - 2 * 4 / (4 + 16))
    nothing = {"evidence_masks": lambda sample: ()}
    assert term("mask_dice", nothing) == term("mask_improvement", nothing) == 0


@pytest.mark.parametrize("benchmark", SCORINGS)
@pytest.mark.parametrize("answer", ["left lung", "Answer: left lung.", "right lung", "the left lung is", ""])
def test_accuracy_is_the_headline_of_every_benchmark(benchmark: str, answer: str) -> None:
    scoring = SCORINGS[benchmark]
    sample = replace(SAMPLE, benchmark=benchmark)
    headline = next(measure for measure in scoring.measures if measure.name == scoring.headline)
    (expected,) = headline.score([answer], [sample])
    assert TERMS["accuracy"](episode((FinalAnswer(text=answer), None, ""), sample=sample)) == expected
