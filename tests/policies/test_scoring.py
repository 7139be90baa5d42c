"""Log-probabilities of token streams: what passes through the model for them."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from medvista.policies import VLMPolicy
from medvista.rollout import TokenBatch
from medvista.types import Trajectory


@pytest.fixture
def batch(demonstrations: list[Trajectory]) -> TokenBatch:
    return TokenBatch.from_streams([episode.stream for episode in demonstrations[:4]])


def without_images(batch: TokenBatch, policy: VLMPolicy) -> TokenBatch:
    words = torch.where(batch.token_ids == policy.image_token_id, 300, batch.token_ids)
    return replace(batch, token_ids=words, images=((),) * len(batch))


def test_rows_without_an_image_pass_the_vision_tower_where_it_has_to_take_part(
    nano: VLMPolicy, batch: TokenBatch
) -> None:
    policy, text = copy.deepcopy(nano).requires_grad_(), without_images(batch, nano)
    for rows in (text, text.select([0, 2])):
        policy.always_looks = False
        expected, _ = rows.log_probs(policy)
        policy.always_looks = True
        scores, _ = rows.log_probs(policy)
        assert torch.allclose(scores, expected, atol=1e-5)
    scores.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in policy.vision_tower.parameters())


def test_a_blank_picture_is_longer_than_the_shortest_row(nano: VLMPolicy, batch: TokenBatch) -> None:
    policy, text = copy.deepcopy(nano), without_images(batch, nano)
    text = replace(text, **{name: getattr(text, name)[:, :3] for name in ("token_ids", "attention_mask")})
    text.loss_mask = torch.tensor([[False, True, True]]).expand(4, -1)
    expected, _ = text.log_probs(policy)
    policy.always_looks = True
    assert torch.allclose(text.log_probs(policy)[0], expected, atol=1e-5)
