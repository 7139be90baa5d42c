"""Advantages: how much better an episode, or a token of it, did than was to be expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from medvista.settings import AdvantageScale

Totals = Callable[[Mapping[str, float]], dict[str, float]]  # named sums of these rows -> those of all processes


def group_advantages(rewards_PG: Tensor, scale: AdvantageScale = "std") -> Tensor:
    """Advantage of each sibling over its group's mean.

    Args:
        rewards_PG: total rewards, ``[prompts, group]``.
        scale: ``"std"`` divides by the group's standard deviation (GRPO, arXiv 2402.03300, eq. 3);
            ``"none"`` does not (Dr. GRPO, arXiv 2503.20783).

    Returns:
        ``[prompts, group]``, exactly 0 in groups of `zero_variance`.

    >>> group_advantages(torch.tensor([[1.0, 0.0]]), scale="none")
    tensor([[ 0.5000, -0.5000]])
    """
    centred_PG = rewards_PG - rewards_PG.mean(dim=1, keepdim=True)
    # The mean of equal numbers may be a rounding error off, which the division would blow up to a tenth.
    centred_PG = centred_PG.masked_fill(zero_variance(rewards_PG)[:, None], 0.0)
    if scale == "none":
        return centred_PG
    return centred_PG / (rewards_PG.std(dim=1, keepdim=True, correction=0) + 1e-6)


def leave_one_out_advantages(rewards_PG: Tensor, scale: AdvantageScale = "none") -> Tensor:
    """Advantage of each sibling over the mean of the others (RLOO, arXiv 2402.14740, section 3).

    Arguments and results are those of `group_advantages`; a group has at least two siblings.

    >>> leave_one_out_advantages(torch.tensor([[1.0, 0.0, 0.5]]))
    tensor([[ 0.7500, -0.7500,  0.0000]])
    """
    siblings = rewards_PG.shape[1]
    return group_advantages(rewards_PG, scale) * (siblings / (siblings - 1))


def zero_variance(rewards_PG: Tensor, tolerance: float = 1e-6) -> Tensor:
    """``[prompts]`` True where all siblings earned the same: the group teaches nothing (DAPO, arXiv 2503.14476)."""
    return (rewards_PG.amax(dim=1) - rewards_PG.amin(dim=1)) <= tolerance


def broadcast_to_tokens(advantages_N: Tensor, loss_mask_NT: Tensor) -> Tensor:
    """Each sequence's advantage at its sampled tokens, 0 elsewhere: ``[N, T]``."""
    return torch.where(loss_mask_NT.bool(), advantages_N[:, None], 0.0)


def rewards_to_go(rewards_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """What is still earned from each sampled token on, itself included; 0 elsewhere: ``[N, T]``.

    >>> rewards_to_go(torch.tensor([[-0.1, 0.0, 0.9]]), torch.tensor([[True, False, True]]))
    tensor([[0.8000, 0.0000, 0.9000]])
    """
    earned_NT = torch.where(mask_NT, rewards_NT, 0.0)
    return torch.where(mask_NT, earned_NT.flip(1).cumsum(dim=1).flip(1), 0.0)


def at_last_token(rewards_N: Tensor, mask_NT: Tensor) -> Tensor:
    """Each sequence's reward at its last sampled token, 0 elsewhere: ``[N, T]``."""
    last_NT = mask_NT & (mask_NT.flip(1).cumsum(dim=1).flip(1) == 1)
    return torch.where(last_NT, rewards_N[:, None], 0.0)


def generalised_advantages(
    rewards_NT: Tensor, values_NT: Tensor, mask_NT: Tensor, *, discount: float = 1.0, trace: float = 0.95
) -> Tensor:
    """Generalised advantage estimation over the sampled tokens (arXiv 1506.02438, eq. 16): ``[N, T]``.

    An observation is no step of its own: the value behind an action is that at the next token that was sampled.

    Args:
        rewards_NT: earned by each token.
        values_NT: expected before each token.
        mask_NT: bool, True on sampled tokens.
        discount: gamma.
        trace: lambda; 0 trusts the values, 1 what was earned.
    """
    advantages_NT = torch.zeros_like(rewards_NT)
    next_value = next_advantage = torch.zeros_like(rewards_NT[:, 0])
    for t in reversed(range(rewards_NT.shape[1])):
        error = rewards_NT[:, t] + discount * next_value - values_NT[:, t]
        advantage = error + discount * trace * next_advantage
        sampled = mask_NT[:, t]
        advantages_NT[:, t] = torch.where(sampled, advantage, 0.0)
        next_value = torch.where(sampled, values_NT[:, t], next_value)
        next_advantage = torch.where(sampled, advantage, next_advantage)
    return advantages_NT


def standard_scores(values_NT: Tensor, mask_NT: Tensor, totals: Totals = dict) -> Tensor:
    """Values at sampled tokens, shifted and scaled to mean 0 and variance 1 over the whole update; 0 elsewhere.

    Args:
        values_NT: ``[N, T]``.
        mask_NT: ``[N, T]`` bool, True on sampled tokens.
        totals: adds up over all processes what the rows of this one hold.

    >>> standard_scores(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]]))
    tensor([[-1.,  1.,  0.]])
    """
    kept_NT = torch.where(mask_NT, values_NT, 0.0)
    sums = totals({"tokens": float(mask_NT.sum()), "values": float(kept_NT.double().sum())})
    tokens = sums["tokens"] or 1.0
    centred_NT = torch.where(mask_NT, values_NT - sums["values"] / tokens, 0.0)
    variance = totals({"squares": float(centred_NT.double().square().sum())})["squares"] / tokens
    if variance <= 1e-12:  # all the same but for rounding
        return torch.zeros_like(centred_NT)
    return centred_NT / variance**0.5
