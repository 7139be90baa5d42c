"""Log-probabilities over the ids that may be sampled, without the whole vocabulary at every position at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

WithEntropy = Literal["no", "value", "gradient"]  # "value": for the log only, without a gradient

CHUNK_LOGITS = 2**25  # logits in memory at once: 128 MiB in float32, and a few tensors of that size beside them
KEPT_LOGITS = 2**22  # as many are cheaper kept for backward than computed again


def restricted_log_softmax(logits: Tensor, allowed_ids: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-softmax at a temperature, with banned ids at ``-inf``.

    Args:
        logits: ``[..., V]``, any float type; computed in float32.
        allowed_ids: ``[V]`` bool.
        temperature: above 0.

    >>> import torch
    >>> restricted_log_softmax(torch.zeros(3), torch.tensor([True, True, False])).exp()
    tensor([0.5000, 0.5000, 0.0000])
    """
    return (logits.float() / temperature).masked_fill(~allowed_ids, float("-inf")).log_softmax(dim=-1)


def chosen_log_probs(
    head: Callable[[Tensor], Tensor],
    hidden_KD: Tensor,
    ids_K: Tensor,
    allowed_ids: Tensor,
    *,
    temperature: float = 1.0,
    entropy: WithEntropy = "no",
) -> tuple[Tensor, Tensor]:
    """Log-probability of one id per position, and the entropy there, from the states below the head.

    The positions go through the head in chunks. What a chunk computed is dropped and computed again in backward, so
    that the memory does not grow with the number of positions; a few logits are kept instead.

    Args:
        head: from hidden states ``[k, D]`` to logits ``[k, V]``.
        hidden_KD: ``[K, D]``.
        ids_K: ``[K]``, the ids that were chosen.
        allowed_ids: ``[V]`` bool.
        temperature: see `restricted_log_softmax`.
        entropy: whether to compute it, and with a gradient or not.

    Returns:
        ``[K]`` log-probabilities and ``[K]`` entropies in nats (zeros unless asked for).
    """

    def score(hidden: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        log_softmax = restricted_log_softmax(head(hidden), allowed_ids, temperature)
        return log_softmax.gather(-1, ids[:, None]).squeeze(-1), _entropy(log_softmax, allowed_ids, entropy)

    if len(ids_K) * len(allowed_ids) <= KEPT_LOGITS:
        return score(hidden_KD, ids_K)
    rows = max(1, CHUNK_LOGITS // len(allowed_ids))
    chunks = zip(hidden_KD.split(rows), ids_K.split(rows), strict=True)
    if torch.is_grad_enabled():
        parts = [checkpoint(score, hidden, ids, use_reentrant=False) for hidden, ids in chunks]
    else:
        parts = [score(hidden, ids) for hidden, ids in chunks]
    log_probs, entropies = zip(*parts, strict=True)
    return torch.cat(log_probs), torch.cat(entropies)


def _entropy(log_softmax: Tensor, allowed_ids: Tensor, wanted: WithEntropy) -> Tensor:
    """``[K]`` entropies from ``[K, V]``."""
    if wanted == "no":
        return log_softmax.new_zeros(log_softmax.shape[:-1])
    if wanted == "value":
        log_softmax = log_softmax.detach()
    return -(log_softmax.exp() * log_softmax.masked_fill(~allowed_ids, 0.0)).sum(-1)
