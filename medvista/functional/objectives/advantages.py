"""Group-relative advantages."""

from __future__ import annotations

import torch
from torch import Tensor

from medvista.settings import AdvantageScale


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


def zero_variance(rewards_PG: Tensor, tolerance: float = 1e-6) -> Tensor:
    """``[prompts]`` True where all siblings earned the same: the group teaches nothing (DAPO, arXiv 2503.14476)."""
    return (rewards_PG.amax(dim=1) - rewards_PG.amin(dim=1)) <= tolerance


def broadcast_to_tokens(advantages_N: Tensor, loss_mask_NT: Tensor) -> Tensor:
    """Each sequence's advantage at its sampled tokens, 0 elsewhere: ``[N, T]``."""
    return torch.where(loss_mask_NT.bool(), advantages_N[:, None], 0.0)
