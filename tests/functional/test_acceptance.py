"""Which episodes become demonstrations, by the first flaw that is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medvista.functional.acceptance import LookRule, action_sequence, episode_fingerprint, judge_episode
from medvista.types import (
    Action,
    Completion,
    FinalAnswer,
    MedicalImage,
    Observation,
    ParseError,
    Region,
    ToolCall,
    ToolError,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)

LESION = Region(box=(10, 10, 20, 20))
SAMPLE = VQASample(
    id="1", benchmark="b", split="train", question="?", answers=("yes",), images=(), group_id="1", regions=(LESION,)
)
SHOWN = Observation(text="?", images=(MedicalImage(pixels=np.zeros((4, 4), dtype=np.uint8)),))
WINDOW = ToolCall(name="window", arguments={"preset": "bone"})


def turn(action: Action, result: ToolResult | None = None, **completion: Any) -> Turn:
    said = Completion(token_ids=(), log_probs=(), text="", **completion)
    return Turn(completion=said, action=action, result=result)


def look(*box: float) -> Turn:
    call = ToolCall(name="zoom", arguments={"bbox_2d": list(box)})
    return turn(call, ToolResult(regions=(Region(box=(box[0], box[1], box[2], box[3])),)))


def episode(*turns: Turn, sample: VQASample = SAMPLE) -> Trajectory:
    return Trajectory(sample=sample, observation=SHOWN, turns=turns)


YES = turn(FinalAnswer(text="Yes."))
FAILED = turn(WINDOW, ToolResult(error=ToolError(type=ToolErrorType.FAILED, message="no")))
HIT, MISS = look(0, 0, 30, 30), look(30, 30, 40, 40)


@pytest.mark.parametrize(
    ("turns", "rule", "verdict"),
    [
        ((HIT, YES), "any", "kept"),
        ((HIT, YES), "hit", "kept"),
        ((MISS, HIT, YES), "hit", "kept"),
        ((MISS, YES), "hit", "look that missed"),
        ((MISS, YES), "any", "kept"),
        ((turn(WINDOW, ToolResult()), YES), "hit", "kept"),  # shows no place, so it cannot miss one
        ((YES,), "any", "no look"),
        ((YES,), "none", "kept"),
        ((HIT, turn(FinalAnswer(text="no"))), "any", "wrong answer"),
        ((HIT, turn(ToolCall(name="zoom", arguments={}))), "any", "no answer"),
        ((turn(ParseError(message="?")), HIT, YES), "any", "malformed turn"),
        ((FAILED, HIT, YES), "any", "failed call"),
        ((HIT, replace(YES, completion=replace(YES.completion, finish_reason="length"))), "any", "cut off"),
    ],
)
def test_an_episode_is_kept_or_has_its_first_flaw_named(turns: tuple[Turn, ...], rule: LookRule, verdict: str) -> None:
    assert judge_episode(episode(*turns), rule) == verdict


def test_a_question_without_annotation_cannot_be_missed() -> None:
    unannotated = replace(SAMPLE, regions=())
    assert judge_episode(episode(MISS, YES, sample=unannotated), "hit") == "kept"


def test_equal_actions_have_one_fingerprint_whatever_was_thought_and_however_it_is_spelled() -> None:
    other_words = episode(HIT, turn(FinalAnswer(text="yes", thought="It is round.")), sample=replace(SAMPLE, id="2"))
    assert action_sequence(other_words) == action_sequence(episode(HIT, YES))
    assert episode_fingerprint(other_words) == episode_fingerprint(episode(HIT, YES))
    white = MedicalImage(pixels=np.ones((4, 4), np.uint8))
    others = [
        episode(MISS, YES),
        episode(HIT, turn(FinalAnswer(text="no"))),
        replace(other_words, observation=Observation(text="What?", images=SHOWN.images)),
        replace(other_words, observation=Observation(text="?", images=(white,))),
    ]
    assert len({episode_fingerprint(one) for one in [*others, other_words]}) == 5
