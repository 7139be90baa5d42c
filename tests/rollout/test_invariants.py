"""Each invariant of a batch, broken on purpose, is found with the episode that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from medvista.policies import SamplingParams, VLMPolicy
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.rollout.invariants import Placeholders, broken_invariant
from medvista.types import TrajectoryGroup, VQASample


@pytest.fixture(scope="module")
def batch(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: Callable[..., RolloutCollector]
) -> ExperienceBatch:
    samples = [questions[0], questions[0], questions[2], questions[2]]
    episodes = make_collector(schooled).collect(samples, SamplingParams(max_new_tokens=24), seeds=range(4))
    assert any(len(episode.turns) > 1 for episode in episodes)
    return ExperienceBatch.from_groups(
        [TrajectoryGroup(trajectories=episodes[:2]), TrajectoryGroup(trajectories=episodes[2:])]
    )


@pytest.fixture(scope="module")
def placeholders(schooled: VLMPolicy) -> Placeholders:
    return Placeholders(token_id=schooled.image_token_id, count=schooled.count_visual_tokens)


def test_what_a_policy_plays_breaks_nothing(batch: ExperienceBatch, placeholders: Placeholders) -> None:
    assert broken_invariant(batch, placeholders) is None
    assert broken_invariant(batch.without_loss(), placeholders) is None


def swapped_tokens(batch: ExperienceBatch) -> ExperienceBatch:
    ids = batch.token_ids.clone()
    sampled = batch.loss_mask[1].nonzero().flatten()[0]
    ids[1, sampled] = (ids[1, sampled] + 1) % 100
    return replace(batch, token_ids=ids)


def tokenised_again(batch: ExperienceBatch) -> ExperienceBatch:
    """A turn says it sampled two tokens where the stream has one."""
    episode = batch.trajectories[1]
    completion = episode.turns[0].completion
    torn = replace(completion, token_ids=(*completion.token_ids, 5), log_probs=(*completion.log_probs, -1.0))
    turns = (replace(episode.turns[0], completion=torn), *episode.turns[1:])
    rows = list(batch.trajectories)
    rows[1] = replace(episode, turns=turns)
    return replace(batch, trajectories=tuple(rows))


def inverted_mask(batch: ExperienceBatch) -> ExperienceBatch:
    mask = batch.loss_mask.clone()
    mask[1] = ~mask[1]
    return replace(batch, loss_mask=mask)


def shifted_mask(batch: ExperienceBatch) -> ExperienceBatch:
    mask = batch.loss_mask.clone()
    mask[1] = mask[1].roll(-1)
    return replace(batch, loss_mask=mask)


def lost_image(batch: ExperienceBatch) -> ExperienceBatch:
    return replace(batch, images=(batch.images[0], (), *batch.images[2:]))


def torn_groups(batch: ExperienceBatch) -> ExperienceBatch:
    return replace(batch, groups=torch.tensor([0, 1, 0, 1]))


def mixed_questions(batch: ExperienceBatch) -> ExperienceBatch:
    first, second, third, fourth = batch.trajectories
    other = replace(second, sample=third.sample)
    return replace(batch, trajectories=(first, other, third, fourth))


def no_number(batch: ExperienceBatch) -> ExperienceBatch:
    rewards = batch.rewards.clone()
    rewards[1] = float("nan")
    return replace(batch, rewards=rewards)


def infinite_score(batch: ExperienceBatch) -> ExperienceBatch:
    old = batch.old_log_probs.clone()
    old[1, batch.loss_mask[1].nonzero().flatten()[0]] = -float("inf")
    return replace(batch, old_log_probs=old)


def infinite_reference(batch: ExperienceBatch) -> ExperienceBatch:
    return replace(batch, reference_log_probs=infinite_score(batch).old_log_probs)


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (swapped_tokens, "a token stream is not what was sampled and shown"),
        (tokenised_again, "a token stream is not what was sampled and shown"),
        (inverted_mask, "the loss mask is not on the sampled tokens"),
        (shifted_mask, "the loss mask is not on the sampled tokens"),
        (lost_image, "more or fewer image tokens"),
        (torn_groups, "a group is not whole"),
        (mixed_questions, "siblings were asked different questions"),
        (no_number, "a reward is not a finite number"),
        (infinite_score, "a log-probability of the engine is not a finite number"),
        (infinite_reference, "a log-probability of the reference is not a finite number"),
    ],
)
def test_a_broken_invariant_is_found_and_its_episode_named(
    batch: ExperienceBatch,
    placeholders: Placeholders,
    broken: Callable[[ExperienceBatch], ExperienceBatch],
    what: str,
) -> None:
    changed = broken(batch)
    found = broken_invariant(changed, placeholders)
    assert found is not None
    assert what in found.what
    assert 1 in found.rows
    assert f"question {changed.trajectories[found.rows[0]].sample.id}, seed" in found.told(changed)
