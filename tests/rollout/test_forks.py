"""Forks at a call: the prefix is repeated, one result is blank, and the difference of outcomes lands on the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from medvista.envs import MedicalVQAEnv
from medvista.functional.objectives import make_objective
from medvista.modules.experience_tensors import prepare
from medvista.parsing import format_action
from medvista.policies import ChatRenderer, SamplingParams, ScriptedPolicy, TransformersEngine, VLMPolicy
from medvista.rollout import ExperienceBatch, Fork, ForkConfig, ForkedEngine, RolloutCollector, call_credits
from medvista.rollout.forks import forkable_calls, turn_positions
from medvista.tools import BlankedCall, Toolbox
from medvista.types import FinalAnswer, ToolCall, Trajectory, TrajectoryGroup, VQASample

PARAMS = SamplingParams(max_new_tokens=24)
LOOKS = [format_action(ToolCall(name="zoom", arguments={"bbox_2d": [0, 0, side, side]})) for side in (400, 600)]
Make = Callable[[Sequence[Fork], int], RolloutCollector]


def is_blank(trajectory: Trajectory, turn: int) -> bool:
    observation = trajectory.turns[turn].observation
    return observation is not None and all(np.ptp(image.pixels) == 0 for image in observation.images)


def reads(trajectory: Trajectory) -> str:
    """Looks twice, then answers rightly if the second look showed something; the first is of no use."""
    if len(trajectory.turns) < 2:
        return LOOKS[len(trajectory.turns)]
    right = not is_blank(trajectory, 1)
    return format_action(FinalAnswer(text=trajectory.sample.answers[0] if right else "wrong"))


@pytest.fixture
def players(schooled: VLMPolicy, make_env: Callable[..., MedicalVQAEnv]) -> tuple[RolloutCollector, Make, list[Fork]]:
    """Plays `reads`, and its forks, which are kept."""
    renderer = ChatRenderer(schooled, "Tools: zoom")
    engine = ScriptedPolicy(reads, tokenizer=schooled.tokenizer)
    played: list[Fork] = []

    def make(forks: Sequence[Fork], number: int) -> RolloutCollector:
        played.extend(forks)
        which = {fork.episode.seed: fork.results_before for fork in forks}
        toolbox = BlankedCall(Toolbox.from_names(["zoom"]), which)
        return RolloutCollector(lambda: make_env(toolbox=toolbox), ForkedEngine(forks, number, engine), renderer)

    return RolloutCollector(make_env, engine, renderer), make, played


def test_credit_goes_to_the_call_that_mattered_and_to_its_tokens_only(
    players: tuple[RolloutCollector, Make, list[Fork]], questions: list[VQASample]
) -> None:
    collector, make, played = players
    episodes = collector.collect(questions[:3], PARAMS, seeds=[1, 2, 3])
    credit, sums = call_credits(episodes, make, PARAMS, ForkConfig())
    for row, episode in enumerate(episodes):
        expected = torch.zeros(credit.shape[1])
        expected[turn_positions(episode, 1)] = 1.0
        assert torch.equal(credit[row], expected)
    assert sums["calls"] == sums["forks"] == len(played) == 6
    assert sums["credit"] == 3
    assert sums["fork_tokens"] > 0


def test_a_turn_stands_where_its_tokens_are(
    players: tuple[RolloutCollector, Make, list[Fork]], questions: list[VQASample]
) -> None:
    collector, _, _ = players
    (episode,) = collector.collect(questions[:1], PARAMS, seeds=[1])
    assert forkable_calls(episode) == [0, 1]
    for index, turn in enumerate(episode.turns):
        tokens = tuple(episode.stream.token_ids[position] for position in turn_positions(episode, index))
        assert tokens == turn.completion.token_ids
        assert all(episode.stream.loss_mask[position] for position in turn_positions(episode, index))


def test_one_result_is_blank_and_the_others_are_as_they_were(
    players: tuple[RolloutCollector, Make, list[Fork]], questions: list[VQASample]
) -> None:
    collector, make, _ = players
    (episode,) = collector.collect(questions[:1], PARAMS, seeds=[1])
    for turn in (0, 1):
        fork = Fork(episode=episode, row=0, turn=turn, results_before=turn)
        (after,) = make([fork], 0).collect(questions[:1], PARAMS, seeds=[1])
        assert [is_blank(after, 0), is_blank(after, 1)] == [turn == 0, turn == 1]
        end = turn_positions(episode, turn)[-1] + 1
        assert after.stream.token_ids[:end] == episode.stream.token_ids[:end]


def test_with_a_share_of_the_episodes_the_expectation_stays(
    players: tuple[RolloutCollector, Make, list[Fork]], questions: list[VQASample]
) -> None:
    collector, make, _ = players
    (one,) = collector.collect(questions[:1], PARAMS, seeds=[1])
    episodes = [replace(one, seed=seed) for seed in range(40)]
    credit, sums = call_credits(episodes, make, PARAMS, ForkConfig(share=0.4, seed=3))
    of_episodes = credit.amax(dim=1)
    assert set(of_episodes.tolist()) == {0.0, 2.5}
    drawn = int((of_episodes > 0).sum())
    assert sums["calls"] == 2 * drawn
    assert 8 <= drawn <= 24  # of 40 with probability 0.4: outside once in 400 seeds
    assert of_episodes.mean().item() == pytest.approx(drawn / 40 / 0.4)


def test_forks_draw_anew_and_repeat_with_their_number(
    schooled: VLMPolicy, make_env: Callable[..., MedicalVQAEnv], questions: list[VQASample]
) -> None:
    renderer, engine = ChatRenderer(schooled, "Tools: zoom"), TransformersEngine(schooled)
    begun = ScriptedPolicy(lambda t: LOOKS[0] if not t.turns else None, tokenizer=schooled.tokenizer, otherwise=engine)
    episodes = RolloutCollector(make_env, begun, renderer).collect([questions[0]] * 6, PARAMS, seeds=range(6))
    forks = [Fork(episode=episode, row=i, turn=0, results_before=0) for i, episode in enumerate(episodes)]

    def after(number: int) -> list[tuple[int, ...]]:
        collector = RolloutCollector(make_env, ForkedEngine(forks, number, engine), renderer)
        played = collector.collect([questions[0]] * 6, PARAMS, seeds=range(6))
        return [episode.turns[1].completion.token_ids for episode in played]

    assert after(0) == after(0)
    assert after(0) != after(1)
    assert after(0) != [episode.turns[1].completion.token_ids for episode in episodes]


def test_a_credit_is_added_to_the_advantages_of_its_tokens(
    players: tuple[RolloutCollector, Make, list[Fork]], questions: list[VQASample], schooled: VLMPolicy
) -> None:
    collector, make, _ = players
    episodes = collector.collect([questions[0]] * 2, PARAMS, seeds=[1, 2])
    batch = ExperienceBatch.from_groups([TrajectoryGroup(trajectories=episodes)])
    batch.credits, _ = call_credits(episodes, make, PARAMS, ForkConfig(weight=0.5))
    prepare(batch, schooled, make_objective(), 0.0, temperature=1.0)
    assert batch.advantages is not None
    expected = torch.zeros_like(batch.advantages)  # both siblings are right: no advantage but the credit
    for row in (0, 1):
        expected[row, turn_positions(episodes[row], 1)] = 0.5
    assert torch.equal(batch.advantages, expected)
