"""How much likelier an episode's tokens became: by token, or by the whole sequence."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Ratio = Literal["token", "sequence_mean", "sequence"]


def likelihood_ratio(log_probs_NT: Tensor, old_log_probs_NT: Tensor, mask_NT: Tensor, level: Ratio) -> Tensor:
    """The ratio that a surrogate weighs each token's advantage with, ``[N, T]``.

    A sequence's ratio stands at each of its tokens and passes each token its own gradient, so that advantages may
    differ between the tokens of a sequence (GSPO-token, arXiv 2507.18071, eq. 14).

    Args:
        log_probs_NT: under the policy being updated.
        old_log_probs_NT: under the policy before the update.
        mask_NT: bool, True on sampled tokens.
        level: ``"token"``: ``p / q`` (GRPO, arXiv 2402.03300); ``"sequence_mean"``: the geometric mean over the
            sequence (GSPO, arXiv 2507.18071, eq. 7); ``"sequence"``: the product over it (RLOO, arXiv 2402.14740).

    >>> old, mask = torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    >>> now = torch.tensor([[2.0, 8.0]]).log()
    >>> likelihood_ratio(now, old, mask, "sequence_mean"), likelihood_ratio(now, old, mask, "sequence")
    (tensor([[4., 4.]]), tensor([[16., 16.]]))
    """
    if level == "token":
        return (log_probs_NT - old_log_probs_NT).exp()
    difference_NT = torch.where(mask_NT, log_probs_NT - old_log_probs_NT, 0.0)
    tokens_N1 = mask_NT.sum(dim=1, keepdim=True).clamp_min(1)
    total_N1 = difference_NT.detach().sum(dim=1, keepdim=True)
    own_NT = difference_NT - difference_NT.detach()  # zero, with the gradient of the token
    if level == "sequence_mean":
        return (total_N1 / tokens_N1 + own_NT).exp()
    # The mean over the sequence's tokens, by which these are aggregated, takes the factor off again.
    return (total_N1 + tokens_N1 * own_NT).exp()
