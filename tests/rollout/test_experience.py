"""Streams as tensors: padding, selection and minibatches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medvista.functional.objectives import group_advantages
from medvista.rollout import ExperienceBatch, TokenBatch, minibatches
from medvista.types import (
    Completion,
    Observation,
    Reward,
    TokenSegment,
    TokenStream,
    Trajectory,
    TrajectoryGroup,
    VQASample,
)

IMAGE = {"pixel_values": torch.ones(4, 3)}


def stream(prompt: int, written: int, first: int = 10) -> TokenStream:
    ids = tuple(range(first, first + written))
    segment = TokenSegment(token_ids=(1,) * prompt, images=(IMAGE,))
    completion = Completion(token_ids=ids, log_probs=tuple(-float(i) for i in ids), text="")
    return TokenStream().append_segment(segment).append_completion(completion)


def experience(sample: VQASample, rewards: list[list[float]]) -> ExperienceBatch:
    groups = []
    for p, row in enumerate(rewards):
        siblings = [
            Trajectory(
                sample=sample,
                observation=Observation(text=""),
                stream=stream(2, 1 + p + g, first=100 * p + 10 * g),
                reward=Reward(total=reward, terms={}),
            )
            for g, reward in enumerate(row)
        ]
        groups.append(TrajectoryGroup(trajectories=siblings))
    batch = ExperienceBatch.from_groups(groups, stats={"seconds": 1.0})
    batch.advantages = group_advantages(batch.rewards_PG, "none").flatten()
    return batch


def test_streams_are_padded_on_the_right() -> None:
    batch = TokenBatch.from_streams([stream(2, 1), stream(1, 3)])
    assert batch.token_ids.tolist() == [[1, 1, 10, 0], [1, 10, 11, 12]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.loss_mask.tolist() == [[False, False, True, False], [False, True, True, True]]
    assert batch.loss_mask.dtype == torch.bool
    assert [len(images) for images in batch.images] == [1, 1]
    assert len(batch) == 2


def test_groups_are_flattened_prompt_by_prompt_with_their_advantages(questions: list[VQASample]) -> None:
    batch = experience(questions[0], [[1.0, 0.0], [0.0, 4.0]])
    assert batch.rewards.tolist() == [1.0, 0.0, 0.0, 4.0]
    assert batch.groups.tolist() == [0, 0, 1, 1]
    assert batch.rewards_PG.tolist() == [[1.0, 0.0], [0.0, 4.0]]
    assert batch.advantages.tolist() == [0.5, -0.5, -2.0, 2.0]
    assert batch.token_ids[2].tolist() == [1, 1, 100, 101, 0]
    assert batch.old_log_probs[2].tolist() == [0.0, 0.0, -100.0, -101.0, 0.0]
    assert batch.stats == {"seconds": 1.0}


def test_selected_rows_keep_everything_that_belongs_to_them_and_lose_the_padding(questions: list[VQASample]) -> None:
    batch = experience(questions[0], [[1.0, 0.0], [0.0, 4.0]])
    batch.reference_log_probs = 2 * batch.old_log_probs
    chosen = batch.select([2, 0])
    assert chosen.token_ids.tolist() == [[1, 1, 100, 101], [1, 1, 0, 0]]
    assert chosen.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert chosen.reference_log_probs.tolist() == [[0.0, 0.0, -200.0, -202.0], [0.0, 0.0, 0.0, 0.0]]
    assert chosen.advantages.tolist() == [-2.0, 0.5]
    assert chosen.trajectories == (batch.trajectories[2], batch.trajectories[0])


def test_rewards_are_by_group_only_where_siblings_stand_side_by_side(questions: list[VQASample]) -> None:
    batch = experience(questions[0], [[1.0, 0.0], [0.0, 4.0], [2.0, 3.0]])
    assert batch.select([4, 5, 0, 1]).rewards_PG.tolist() == [[2.0, 3.0], [1.0, 0.0]]
    for torn in ([0, 2, 1, 3], [0, 1, 2]):
        with pytest.raises(ValueError, match="no whole groups side by side"):
            _ = batch.select(torn).rewards_PG


def test_minibatches_hold_every_row_once(questions: list[VQASample]) -> None:
    batch = experience(questions[0], [[1.0, 0.0, 2.0, 3.0, 4.0]])
    parts = list(minibatches(batch, 2, torch.Generator().manual_seed(0)))
    assert sorted(len(part) for part in parts) == [2, 3]
    assert sorted(reward for part in parts for reward in part.rewards.tolist()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    again = list(minibatches(batch, 2, torch.Generator().manual_seed(0)))
    assert [part.rewards.tolist() for part in parts] == [part.rewards.tolist() for part in again]


def test_there_are_as_many_minibatches_as_asked_for_even_with_fewer_rows(questions: list[VQASample]) -> None:
    parts = list(minibatches(experience(questions[0], [[1.0, 0.0]]), 4, torch.Generator().manual_seed(0)))
    assert [bool(part.loss_mask.any()) for part in parts] == [True, True, False, False]


def test_moving_a_batch_keeps_its_images_shared(questions: list[VQASample]) -> None:
    batch = experience(questions[0], [[1.0, 0.0]])
    moved = batch.to("cpu")
    assert type(moved) is ExperienceBatch
    assert moved.images[0][0] is IMAGE
    assert moved.trajectories is batch.trajectories


@pytest.mark.parametrize("missing", ["reward"])
def test_an_episode_that_was_never_scored_counts_as_zero(questions: list[VQASample], missing: str) -> None:
    (first, second) = experience(questions[0], [[1.0, 0.0]]).trajectories
    group = TrajectoryGroup(trajectories=[first, replace(second, **{missing: None})])
    assert group.rewards == [1.0, 0.0]
