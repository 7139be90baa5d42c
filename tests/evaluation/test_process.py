"""The way to an answer, on phantoms: the right tool, shown what it takes, and nothing useless before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medvista.evaluation.numbers.process import process_measures
from medvista.functional.statistics import bootstrap_ci
from medvista.types import (
    Completion,
    FinalAnswer,
    Observation,
    Region,
    ToolCall,
    ToolError,
    ToolErrorType,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)

NODULE, OTHER = Region(box=(10, 10, 20, 20)), Region(box=(60, 10, 70, 20))
HIT, HIT_OTHER, MISS = ("zoom", (5, 5, 25, 25)), ("zoom", (55, 5, 75, 25)), ("zoom", (80, 80, 90, 90))
BONE, LUNG, WIDE = (
    ("window", {"preset": "bone"}),
    ("window", {"preset": "lung"}),
    ("window", {"centre": 1700, "width": 3000}),
)
FAILED = ("zoom", None)


def episode(family: str, *calls: tuple[str, object], number: int = 0) -> Trajectory:
    regions = {"comparison": (NODULE, OTHER), "attribute": (NODULE,)}.get(family, ())
    sample = VQASample(
        id=f"{number}-{family}",
        benchmark="phantom",
        split="test",
        question="?",
        answers=("a",),
        images=(),
        group_id=str(number),
        regions=regions,
        metadata={"family": family},
    )
    turns = [*map(called, calls), turn(FinalAnswer(text="a"))]
    return Trajectory(sample=sample, observation=Observation(text=""), turns=tuple(turns))


def turn(action: ToolCall | FinalAnswer, result: ToolResult | None = None) -> Turn:
    return Turn(completion=Completion(token_ids=(), log_probs=(), text=""), action=action, result=result)


def called(call: tuple[str, object]) -> Turn:
    name, shown = call
    if shown is None:
        error = ToolError(type=ToolErrorType.FAILED, message="no")
        return turn(ToolCall(name=name, arguments={}), ToolResult(error=error))
    if name == "zoom":
        return turn(ToolCall(name=name, arguments={}), ToolResult(regions=(Region(box=shown),)))  # type: ignore[arg-type]
    return turn(ToolCall(name=name, arguments=shown), ToolResult())  # type: ignore[arg-type]


def measures(*episodes: Trajectory) -> dict[str, float]:
    return {name: found.mean for name, found in process_measures(episodes, resamples=10).items()}


ALL = {"tool_selection": 1, "tool_arguments": 1, "tool_order": 1}


@pytest.mark.parametrize(
    ("trajectory", "expected"),
    [
        (episode("attribute", HIT), ALL),
        (episode("comparison", HIT_OTHER, HIT), ALL),  # of two regions either may come first
        (episode("density", BONE), ALL),
        (episode("density", WIDE), ALL),  # 200 to 3200 HU parts the materials, too
        (episode("attribute", HIT, MISS), ALL),  # what comes behind is no matter of order
        (episode("attribute", MISS, HIT), ALL | {"tool_order": 0}),
        (episode("attribute", FAILED, HIT), ALL | {"tool_order": 0}),
        (episode("comparison", HIT, HIT, HIT_OTHER), ALL | {"tool_order": 0}),  # the second shows nothing new
        (episode("attribute", BONE, HIT), {"tool_selection": 0, "tool_arguments": 1, "tool_order": 0}),
        (episode("attribute", MISS), {"tool_selection": 1, "tool_arguments": 0}),
        (episode("comparison", HIT), {"tool_selection": 1, "tool_arguments": 0}),
        (episode("density", LUNG), {"tool_selection": 1, "tool_arguments": 0}),
        (episode("density", HIT), {"tool_selection": 0}),  # the tool that is needed was not called
        (episode("side", HIT), {"tool_selection": 0}),  # none was
    ],
)
def test_an_episode_is_judged_by_what_its_question_needs(trajectory: Trajectory, expected: dict[str, float]) -> None:
    assert measures(trajectory) == expected


def test_shares_are_of_the_episodes_that_got_so_far_with_intervals_by_image() -> None:
    episodes = [
        episode("side", number=0),  # rightly without a call
        episode("attribute", number=0),  # wrongly
        episode("attribute", HIT, number=1),
        episode("attribute", MISS, HIT, number=2),
        episode("attribute", MISS, number=3),
    ]
    found = process_measures(episodes, resamples=200)
    assert {name: (measure.n, measure.mean) for name, measure in found.items()} == {
        "tool_selection": (5, 0.8),
        "tool_arguments": (3, pytest.approx(2 / 3)),
        "tool_order": (2, 0.5),
    }
    interval = bootstrap_ci([1, 0, 1, 1, 1], ["0", "0", "1", "2", "3"], resamples=200)
    assert found["tool_selection"].ci95 == (interval.low, interval.high)


def test_an_arm_without_calls_and_questions_without_a_known_way_have_no_such_measures() -> None:
    assert measures(episode("side"), episode("attribute")) == {}
    unknown = episode("attribute", HIT)
    assert measures(replace(unknown, sample=replace(unknown.sample, benchmark="slake"))) == {}
