"""Log-probabilities over the ids that may be sampled."""

from __future__ import annotations

from torch import Tensor


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
