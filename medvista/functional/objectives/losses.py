"""How the losses of tokens become one number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medvista.settings import Aggregation


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCounts:
    """What a loss is divided by: by more than its own rows, where these are a part of what a step learns from."""

    sequences: float  # with a token that counts
    tokens: float  # that count

    @classmethod
    def of(cls, mask_NT: Tensor) -> LossCounts:
        """Those of some rows.

        >>> LossCounts.of(torch.tensor([[True, True], [False, False]]))
        LossCounts(sequences=1.0, tokens=2.0)
        """
        return cls(sequences=float(mask_NT.any(dim=1).sum()), tokens=float(mask_NT.sum()))


def aggregate(
    values_NT: Tensor,
    mask_NT: Tensor,
    how: Aggregation = "sequence",
    counts: LossCounts | None = None,
    longest: int = 1,
) -> Tensor:
    """One number from per-token values; sequences without any masked-in token do not count.

    Args:
        values_NT: ``[N, T]``.
        mask_NT: ``[N, T]`` bool, True on tokens that count.
        how: ``"sequence"``: mean over a sequence's tokens, then over the N sequences, so that short answers and long
            tool episodes weigh the same (GRPO, arXiv 2402.03300, eq. 3); ``"token"``: mean over all tokens (DAPO, arXiv
            2503.14476, eq. 8); ``"constant"``: sum over a sequence's tokens by `longest`, then mean over the sequences
            (Dr. GRPO, arXiv 2503.20783).
        counts: what the sum is divided by; by default what these rows hold.
        longest: tokens that a sequence may have.

    >>> values, mask = torch.tensor([[1.0, 1.0], [4.0, 0.0]]), torch.tensor([[True, True], [True, False]])
    >>> aggregate(values, mask, "sequence"), aggregate(values, mask, "token")
    (tensor(2.5000), tensor(2.))
    """
    kept_NT = torch.where(mask_NT, values_NT, 0.0)
    counts = counts or LossCounts.of(mask_NT)
    if how == "token":
        return kept_NT.sum() / (counts.tokens or 1.0)
    if how == "constant":
        return kept_NT.sum() / (longest * (counts.sequences or 1.0))
    return (kept_NT.sum(dim=1) / mask_NT.sum(dim=1).clamp_min(1)).sum() / (counts.sequences or 1.0)


def negative_log_likelihood(
    log_probs_NT: Tensor, mask_NT: Tensor, how: Aggregation = "sequence", counts: LossCounts | None = None
) -> Tensor:
    """The supervised loss: minus the log-probability of the demonstrated tokens, in nats."""
    return aggregate(-log_probs_NT, mask_NT, how, counts)
