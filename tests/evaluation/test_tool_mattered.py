"""Replays, their effect on accuracy and answers, and hits on the annotated evidence; numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from medvista.evaluation.numbers.counterfactuals import counterfactual, donors, effect, recorded_turns, shown_a_result
from medvista.evaluation.numbers.evidence import evidence_found, mask_hit, random_hit_rate, source_size
from medvista.policies import ChatRenderer, SamplingParams, ScriptedPolicy, TransformersEngine, VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.tools import SUBSTITUTED, BlankResults, Toolbox
from medvista.types import (
    Completion,
    FinalAnswer,
    Mask,
    MedicalImage,
    Observation,
    Region,
    ToolCall,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)

GREEDY = SamplingParams(max_new_tokens=24, temperature=0.0)


def episode(
    name: str, answer: str, *, truth: str = "yes", look: Any = None, group: str = "", substituted: bool = False
) -> Trajectory:
    """An episode on a 100 x 100 image whose evidence is at 40..60, which perhaps looks once and then answers."""
    sample = VQASample(
        id=name,
        benchmark="test",
        split="test",
        question="?",
        answers=(truth,),
        images=(),
        group_id=group or name,
        regions=(Region(box=(40, 40, 60, 60)),),
    )
    view = MedicalImage(pixels=np.zeros((50, 50), dtype=np.uint8), to_source=np.diag([2.0, 2.0, 1.0]))
    said = Completion(token_ids=(), log_probs=(), text="")
    turns = [Turn(completion=said, action=FinalAnswer(text=answer))]
    if look is not None:
        data = {SUBSTITUTED: "blank"} if substituted else {}
        result = ToolResult(text="Zoom.", regions=(Region(box=look),), data=data)
        seen = Observation(text="Zoom.", images=(view,))
        turns.insert(
            0, Turn(completion=said, action=ToolCall(name="zoom", arguments={}), result=result, observation=seen)
        )
    return Trajectory(sample=sample, observation=Observation(text="?", images=(view,)), turns=tuple(turns))


def test_an_effect_counts_changed_answers_even_where_accuracy_stays() -> None:
    pairs = [
        (episode("a", "yes"), episode("a", "no")),  # right, then wrong
        (episode("b", "no"), episode("b", "maybe")),  # wrong both times, and yet another answer
        (episode("c", "Yes."), episode("c", "yes")),  # the same answer, spelt otherwise
        (episode("d", "yes"), episode("d", "yes")),
    ]
    found = effect(pairs)
    assert (found.n, found.accuracy, found.accuracy_changed) == (4, 0.75, 0.5)
    assert found.difference == -0.25
    assert found.answers_changed == 0.5
    assert found.ci95[0] <= -0.25 <= found.ci95[1]


def test_episodes_without_a_look_count_as_they_were() -> None:
    true = [episode("a", "yes", look=(40, 40, 60, 60)), episode("b", "yes"), episode("c", "no")]
    replayed = {"a": episode("a", "no", look=(40, 40, 60, 60), substituted=True)}
    found = counterfactual(true, replayed, benchmark="test", arm="policy", mode="greedy", change="blank", seed=0)
    assert (found.overall.n, found.overall.answers_changed) == (3, pytest.approx(1 / 3))
    assert found.looked is not None
    assert (found.looked.n, found.looked.difference, found.looked.answers_changed) == (1, -1.0, 1.0)


def test_an_episode_whose_observation_could_not_be_replaced_is_not_among_those_that_looked() -> None:
    true = [episode("a", "yes", look=(0, 0, 9, 9))]
    found = counterfactual(true, {"a": true[0]}, benchmark="test", arm="policy", mode="greedy", change="random", seed=0)
    assert found.looked is None


def test_donors_are_what_successful_calls_showed() -> None:
    shown = donors([episode("a", "yes", look=(0, 0, 9, 9), group="patient 1"), episode("b", "yes")])
    assert [(d.group_id, d.tool, d.text, len(d.images)) for d in shown] == [("patient 1", "zoom", "Zoom.", 1)]


def test_hits_are_counted_where_something_is_annotated_and_somewhere_was_looked() -> None:
    episodes = [
        episode("a", "yes", look=(30, 30, 60, 60)),  # holds the centre (50, 50), right
        episode("b", "no", look=(45, 45, 55, 55)),  # holds it, wrong
        episode("c", "yes", look=(0, 0, 40, 40)),  # misses, right
        episode("d", "yes"),  # does not look
    ]
    pixels = np.zeros((100, 100), dtype=bool)
    pixels[40:60, 40:60] = True
    masks = {"a": (Mask(pixels=pixels),), "b": (Mask(pixels=pixels),)}
    found = evidence_found(
        episodes, lambda t: masks.get(t.sample.id, ()), benchmark="test", arm="policy", mode="greedy"
    )
    assert found is not None
    assert (found.annotated, found.looked) == (4, 3)
    assert found.hit_rate == pytest.approx(2 / 3)
    assert (found.accuracy_hit, found.accuracy_missed) == (0.5, 1.0)
    assert (found.masks, found.mask_hit_rate) == (2, 0.5), "a box of a quarter of the mask's pixels is no hit"


def test_nothing_is_said_of_an_arm_that_did_not_look() -> None:
    assert evidence_found([episode("a", "yes")], lambda t: (), benchmark="b", arm="a", mode="greedy") is None


def test_a_mask_on_another_image_is_not_hit() -> None:
    whole = Region(box=(0, 0, 9, 9))
    assert mask_hit([whole], [Mask(pixels=np.ones((9, 9), dtype=bool))])
    assert not mask_hit([whole], [Mask(pixels=np.ones((9, 9), dtype=bool), image=1)])


def test_the_random_hit_rate_is_the_share_of_places_that_hold_the_centre() -> None:
    # A 50 x 50 box on 100 x 100 pixels holds the middle from everywhere; one of 20 x 20 from (20 / 80)^2 of its places.
    assert source_size(episode("a", "yes"), 0) == (100, 100)
    assert random_hit_rate(episode("a", "yes", look=(0, 0, 50, 50))) == 1.0
    rates = [random_hit_rate(episode("a", "yes", look=(0, 0, 20, 20)), seed) for seed in range(50)]
    assert np.mean(rates) == pytest.approx(1 / 16, abs=0.01)


# ------------------------------------------------------------------------------------ with a policy that samples tokens


@pytest.fixture(scope="module")
def replay(
    schooled: VLMPolicy, questions: Sequence[VQASample], make_env: Callable[..., Any]
) -> tuple[list[Trajectory], Callable[[Toolbox], list[Trajectory]]]:
    """The greedy episodes of a policy that calls tools, and a way to play them again with another toolbox."""
    renderer = ChatRenderer(schooled, "Tools: zoom")

    def play(toolbox: Toolbox, recorded: Sequence[Trajectory] | None) -> list[Trajectory]:
        engine: Any = TransformersEngine(schooled)
        if recorded is not None:
            engine = ScriptedPolicy(recorded_turns(recorded), otherwise=engine)
        collector = RolloutCollector(partial(make_env, toolbox=toolbox), engine, renderer)
        return collector.collect(questions, GREEDY, seeds=range(len(questions)))

    tools = Toolbox.from_names(["zoom", "window"])
    true = play(tools, None)
    return true, lambda toolbox: play(toolbox, true)


def test_a_replay_with_the_true_observations_changes_nothing(replay: Any) -> None:
    true, play_again = replay
    assert any(map(shown_a_result, true)), "no episode saw a tool result: the test says little"
    again = play_again(Toolbox.from_names(["zoom", "window"]))
    assert [t.answer for t in again] == [t.answer for t in true]
    assert [t.stream.token_ids for t in again] == [t.stream.token_ids for t in true]


def test_a_replay_differs_from_the_first_observation_on_and_not_before(replay: Any) -> None:
    true, play_again = replay
    blank = play_again(BlankResults(Toolbox.from_names(["zoom", "window"])))
    for before, after in zip(true, blank, strict=True):
        if not shown_a_result(before):
            continue
        first = next(i for i, turn in enumerate(before.turns) if turn.result and turn.result.ok and turn.observation)
        written = [turn.completion.token_ids for turn in before.turns[: first + 1]]
        assert [turn.completion.token_ids for turn in after.turns[: first + 1]] == written
        assert after.turns[first].result.data.keys() == {SUBSTITUTED}
        shown = after.turns[first].observation
        assert shown.text == before.turns[first].observation.text
        assert all(np.ptp(view.pixels) == 0 for view in shown.images)


def test_a_recorded_episode_is_known_by_its_question(replay: Any) -> None:
    true, _ = replay
    looked = next(trajectory for trajectory in true if shown_a_result(trajectory))
    script = recorded_turns([looked])
    start = replace(looked, turns=())
    assert script(start) == looked.turns[0].completion
    assert script(looked) is None
