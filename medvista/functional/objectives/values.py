"""The loss of a value head."""

from __future__ import annotations

import torch
from torch import Tensor

from medvista.functional.objectives.losses import LossCounts, aggregate


def value_loss(
    values_NT: Tensor,
    old_values_NT: Tensor | None,
    returns_NT: Tensor | None,
    mask_NT: Tensor,
    counts: LossCounts | None = None,
    clip: float = 0.0,
) -> Tensor:
    """Half the mean squared error of the values over sampled tokens (PPO, arXiv 1707.06347, eq. 9).

    Args:
        values_NT: expected now.
        old_values_NT: expected before the update.
        returns_NT: what was earned from each token on.
        mask_NT: bool, True on sampled tokens.
        counts: what the sum is divided by; by default what these rows hold.
        clip: how far from `old_values_NT` a value may move before it gains nothing more, as in PPO's published code;
            0: as far as it likes.
    """
    assert old_values_NT is not None
    assert returns_NT is not None, "returns are computed before the update begins"
    error_NT = (values_NT - returns_NT).square()
    if clip:
        near_NT = old_values_NT + (values_NT - old_values_NT).clamp(-clip, clip)
        error_NT = torch.maximum(error_NT, (near_NT - returns_NT).square())
    return 0.5 * aggregate(error_NT, mask_NT, "token", counts)
