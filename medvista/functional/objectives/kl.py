"""Estimators of the KL divergence from a reference policy, on sampled tokens."""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def kl_estimate(log_probs_NT: Tensor, reference_NT: Tensor, kind: Literal["k1", "k2", "k3"] = "k3") -> Tensor:
    """Per-token estimate of ``KL(policy || reference)`` where tokens were sampled from the policy, in nats.

    Args:
        log_probs_NT: under the policy.
        reference_NT: under the reference.
        kind: the estimators of http://joschu.net/blog/kl-approx.html; ``"k3"``, unbiased and never negative, is GRPO's
            (arXiv 2402.03300, eq. 4).

    >>> import torch
    >>> kl_estimate(torch.tensor([0.0]), torch.tensor([0.0]))
    tensor([0.])
    """
    difference_NT = reference_NT - log_probs_NT
    if kind == "k1":
        return -difference_NT
    if kind == "k2":
        return 0.5 * difference_NT.square()
    return difference_NT.exp() - difference_NT - 1
