"""Surrogates: what each token adds to the loss, and whether a clip holds it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor

SurrogateName = Literal["clipped", "clipped_weight", "likelihood"]
Surrogate: TypeAlias = Callable[[Tensor, Tensor, Tensor, float, float], tuple[Tensor, Tensor]]


def clipped(
    ratio_NT: Tensor, log_probs_NT: Tensor, advantages_NT: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped objective as a loss, token by token (arXiv 1707.06347, eq. 7; GRPO, arXiv 2402.03300, eq. 3).

    Args:
        ratio_NT: how much likelier each token, or its sequence, became, see `likelihood_ratio`.
        log_probs_NT: under the policy being updated.
        advantages_NT: per token.
        clip_low: ratios below ``1 - clip_low`` earn nothing more.
        clip_high: ratios above ``1 + clip_high`` earn nothing more; larger than `clip_low` is DAPO's clip-higher.

    Returns:
        ``[N, T]`` losses and ``[N, T]`` bool, True where the clip is active.
    """
    clipped_NT = ratio_NT.clamp(1 - clip_low, 1 + clip_high)
    loss_NT = -torch.minimum(ratio_NT * advantages_NT, clipped_NT * advantages_NT)
    active_NT = ((ratio_NT > 1 + clip_high) & (advantages_NT > 0)) | ((ratio_NT < 1 - clip_low) & (advantages_NT < 0))
    return loss_NT, active_NT


def clipped_weight(
    ratio_NT: Tensor, log_probs_NT: Tensor, advantages_NT: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """The likelihood weighed by a clipped ratio without a gradient, so that no token loses its own.

    CISPO (arXiv 2506.13585, eq. 4). Arguments and results are those of `clipped`.
    """
    weight_NT = ratio_NT.detach().clamp(1 - clip_low, 1 + clip_high)
    return -weight_NT * advantages_NT * log_probs_NT, (ratio_NT > 1 + clip_high) | (ratio_NT < 1 - clip_low)


def likelihood(
    ratio_NT: Tensor, log_probs_NT: Tensor, advantages_NT: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """REINFORCE (Williams 1992, doi 10.1007/BF00992696, eq. 4): right for tokens that the current weights sampled.

    Arguments and results are those of `clipped`; ratio and clips are not used.
    """
    return -advantages_NT * log_probs_NT, torch.zeros_like(log_probs_NT, dtype=torch.bool)


SURROGATES: dict[SurrogateName, Surrogate] = {
    "clipped": clipped,
    "clipped_weight": clipped_weight,
    "likelihood": likelihood,
}
