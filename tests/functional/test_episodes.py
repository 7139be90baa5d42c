"""What episodes show is counted as a person would count it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from medvista.functional.episodes import correct, looks, region_hit, summarise
from medvista.types import (
    Action,
    Completion,
    FinalAnswer,
    Observation,
    ParseError,
    Region,
    Reward,
    StopReason,
    ToolCall,
    ToolError,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)

LESION = Region(box=(40, 40, 60, 60), label="nodule")
SAMPLE = VQASample(
    id="1",
    benchmark="phantom",
    split="validation",
    question="Is the nodule solid?",
    answers=("yes",),
    images=(),
    group_id="1",
    regions=(LESION,),
)


def turn(action: Action, *, tokens: int = 3, result: ToolResult | None = None) -> Turn:
    completion = Completion(token_ids=(7,) * tokens, log_probs=(-0.5,) * tokens, text="")
    return Turn(completion=completion, action=action, result=result)


def zoom(*regions: Region) -> Turn:
    return turn(ToolCall(name="zoom", arguments={}), result=ToolResult(regions=regions))


def failed_zoom(*regions: Region) -> Turn:
    error = ToolError(type=ToolErrorType.INVALID_ARGUMENTS, message="x1 must be less than x2")
    return turn(ToolCall(name="zoom", arguments={}), result=ToolResult(error=error, regions=regions))


def answer(text: str) -> Turn:
    return turn(FinalAnswer(text=text), tokens=2)


def episode(*turns: Turn, reward: float = 0.0, sample: VQASample = SAMPLE) -> Trajectory:
    return Trajectory(
        sample=sample,
        observation=Observation(text=""),
        turns=turns,
        stop_reason=StopReason.ANSWERED,
        reward=Reward(total=reward, terms={}),
    )


def box(*corners: float, image: int = 0) -> Region:
    return Region(box=tuple(corners), image=image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("regions", "hit"),
    [
        ([box(0, 0, 100, 100)], True),
        ([box(45, 45, 55, 55)], True),
        ([box(0, 0, 49, 100)], False),  # overlaps the lesion, misses its centre
        ([box(0, 0, 50, 50)], True),  # the centre on its edge
        ([box(0, 0, 10, 10), box(45, 45, 55, 55)], True),
        ([box(0, 0, 100, 100, image=1)], False),
        ([], False),
    ],
)
def test_a_look_hits_when_it_holds_the_centre_of_the_lesion(regions: Sequence[Region], hit: bool) -> None:
    assert region_hit(regions, [LESION]) is hit


def test_a_failed_call_looked_at_nothing() -> None:
    assert looks(episode(failed_zoom(LESION), zoom(box(0, 0, 9, 9)))) == (box(0, 0, 9, 9),)


def test_an_episode_is_correct_only_if_it_ends_with_the_answer() -> None:
    assert correct(episode(zoom(LESION), answer("Yes.")))
    assert not correct(episode(answer("no")))
    assert not correct(episode(zoom(LESION)))


def test_the_summary_of_four_episodes_by_hand() -> None:
    four = [
        episode(zoom(LESION), answer("yes"), reward=1.5),  # right, one look that hits
        episode(zoom(box(0, 0, 9, 9)), failed_zoom(), answer("no"), reward=0.25),  # wrong, a miss, a failed call
        episode(answer("yes"), reward=1.0),  # right without a tool
        episode(turn(ParseError(message="no tag")), turn(ParseError(message="no tag"))),  # never answers
    ]
    assert summarise(four) == pytest.approx(
        {
            "accuracy": 2 / 4,
            "reward": 2.75 / 4,
            "answered_rate": 3 / 4,
            "turns_mean": (2 + 3 + 1 + 2) / 4,
            "tokens_mean": (5 + 8 + 2 + 6) / 4,
            "tool_rate": 2 / 4,
            "tool_calls_mean": 3 / 4,
            "tool_error_rate": 1 / 3,
            "parse_error_rate": 2 / 8,
            "hit_rate": 1 / 2,
        }
    )


def test_a_rate_of_nothing_is_left_out() -> None:
    assert summarise([]) == {}
    assert {"tool_error_rate", "hit_rate"}.isdisjoint(summarise([episode(answer("yes"))]))


def test_the_hit_rate_counts_only_questions_with_annotated_evidence() -> None:
    without = replace(SAMPLE, regions=())
    episodes = [episode(zoom(LESION), answer("yes")), episode(zoom(LESION), answer("yes"), sample=without)]
    assert summarise(episodes)["hit_rate"] == 1.0
    assert "hit_rate" not in summarise(episodes[1:])
