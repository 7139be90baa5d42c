"""Losses and their gradients against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from medvista.functional.objectives import Episodes, SampledTokens, make_objective
from medvista.functional.objectives.losses import LossCounts, aggregate, negative_log_likelihood
from medvista.functional.objectives.surrogates import clipped

MASK = torch.tensor([[False, True, True, True], [False, True, False, False]])


def log_ratios(*ratios: float) -> Tensor:
    return torch.tensor([[math.log(ratio) for ratio in ratios]])


def clipped_surrogate(
    log_probs: Tensor, old: Tensor, advantages: Tensor, *, clip_low: float = 0.2, clip_high: float = 0.2
) -> tuple[Tensor, Tensor]:
    return clipped((log_probs - old).exp(), log_probs, advantages, clip_low, clip_high)


def test_sequences_weigh_the_same_or_tokens_do() -> None:
    values = torch.tensor([[9.0, 1.0, 2.0, 3.0], [9.0, 10.0, 9.0, 9.0]])
    assert aggregate(values, MASK, "sequence").item() == pytest.approx((2 + 10) / 2)
    assert aggregate(values, MASK, "token").item() == pytest.approx((1 + 2 + 3 + 10) / 4)
    assert aggregate(values, MASK, "constant", longest=5).item() == pytest.approx((1 + 2 + 3 + 10) / 5 / 2)


@pytest.mark.parametrize("how", ["sequence", "token", "constant"])
def test_a_batch_without_any_sampled_token_has_loss_zero(how: str) -> None:
    values = torch.full((2, 3), 5.0, requires_grad=True)
    loss = aggregate(values, torch.zeros(2, 3, dtype=torch.bool), how)  # type: ignore[arg-type]
    loss.backward()
    assert loss.item() == 0
    assert values.grad is not None
    assert values.grad.abs().sum() == 0


@pytest.mark.parametrize("how", ["sequence", "token", "constant"])
def test_masked_tokens_get_exactly_zero_gradient_even_where_they_are_not_finite(how: str) -> None:
    log_probs = torch.tensor([[-float("inf"), -1.0, -2.0, -3.0], [float("nan"), -1.0, 0.0, 0.0]], requires_grad=True)
    negative_log_likelihood(log_probs, MASK, how).backward()  # type: ignore[arg-type]
    assert log_probs.grad is not None
    assert (log_probs.grad[~MASK] == 0).all()
    assert (log_probs.grad[MASK] < 0).all()


def test_likelihood_is_the_mean_surprise_in_nats() -> None:
    log_probs = torch.tensor([[0.0, -1.0, -2.0, -3.0], [0.0, -4.0, 0.0, 0.0]])
    assert negative_log_likelihood(log_probs, MASK).item() == pytest.approx((2 + 4) / 2)


def test_the_surrogate_is_the_ratio_times_the_advantage_and_stops_at_the_clip() -> None:
    ratios = log_ratios(1.0, 1.1, 1.5, 0.5, 1.5, 0.5)
    advantages = torch.tensor([[2.0, 2.0, 2.0, 2.0, -2.0, -2.0]])
    loss, clipped = clipped_surrogate(ratios, torch.zeros(1, 6), advantages)
    # Good tokens stop paying above 1.2, bad ones stop costing less below 0.8; neither is held back on the other side.
    torch.testing.assert_close(loss, -torch.tensor([[2.0, 2.2, 2.4, 1.0, -3.0, -1.6]]))
    assert clipped.tolist() == [[False, False, True, False, False, True]]


def test_the_gradient_is_zero_where_the_clip_is_active_and_the_policy_gradient_elsewhere() -> None:
    ratios = (1.0, 1.1, 1.5, 0.5, 1.5, 0.5)
    log_probs = log_ratios(*ratios).requires_grad_()
    advantages = torch.tensor([[2.0, 2.0, 2.0, 2.0, -2.0, -2.0]])
    loss, clipped = clipped_surrogate(log_probs, torch.zeros(1, 6), advantages)
    loss.sum().backward()
    assert log_probs.grad is not None
    assert (log_probs.grad[clipped] == 0).all()
    expected = -(torch.tensor([ratios]) * advantages)  # d(ratio)/d(log p) is the ratio itself
    torch.testing.assert_close(log_probs.grad[~clipped], expected[~clipped])


def test_the_two_clips_are_set_apart() -> None:
    ratios, ones = log_ratios(1.25, 1.35, 0.85, 0.75), torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    loss, clipped = clipped_surrogate(ratios, torch.zeros(1, 4), ones, clip_low=0.2, clip_high=0.3)
    torch.testing.assert_close(loss, torch.tensor([[-1.25, -1.3, 0.85, 0.8]]))
    assert clipped.tolist() == [[False, True, False, True]]


def test_tokens_without_advantage_have_neither_loss_nor_gradient_nor_clip() -> None:
    log_probs = log_ratios(0.1, 1.0, 9.0).requires_grad_()
    loss, clipped = clipped_surrogate(log_probs, torch.zeros(1, 3), torch.zeros(1, 3))
    loss.sum().backward()
    assert log_probs.grad is not None
    assert loss.abs().sum() == 0
    assert log_probs.grad.abs().sum() == 0
    assert not clipped.any()


def test_the_default_objective_is_bit_equal_to_the_formula_it_had_before_it_had_a_name() -> None:
    generator = torch.Generator().manual_seed(0)
    now, old, reference, entropy = (torch.randn(6, 9, generator=generator) for _ in range(4))
    mask = torch.rand(6, 9, generator=generator) > 0.3
    rewards = torch.rand(3, 2, generator=generator)
    made = make_objective()
    advantages = made.advantages(Episodes(rewards=rewards, mask=mask, old_log_probs=old), 0.01)
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    of_rows = (centred / (rewards.std(dim=1, keepdim=True, correction=0) + 1e-6)).flatten()
    assert torch.equal(advantages, torch.where(mask, of_rows[:, None], 0.0))
    tokens = SampledTokens(
        log_probs=now,
        entropy=entropy,
        mask=mask,
        advantages=advantages,
        old_log_probs=old,
        reference_log_probs=reference,
    )
    loss, _ = made.loss(tokens, LossCounts.of(mask), kl_coefficient=0.01, entropy_coefficient=0.0)
    ratio = (now - old).exp()
    surrogate = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    difference = reference - now

    def mean(values: Tensor) -> Tensor:
        return (torch.where(mask, values, 0.0).sum(dim=1) / mask.sum(dim=1)).sum() / 6.0

    assert torch.equal(loss, mean(surrogate) + 0.01 * mean(difference.exp() - difference - 1))
