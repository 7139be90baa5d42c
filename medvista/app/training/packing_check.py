"""Whether a model computes the same for demonstrations in one row as for each by itself: tried before a stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from medvista.notices import notice
from medvista.policies import VLMPolicy
from medvista.policies.evaluation_mode import evaluation_mode
from medvista.policies.packing import why_not_packable
from medvista.rollout import TokenBatch
from medvista.types import TokenStream

_TRIED = 3  # demonstrations, the shortest
# Largest difference of a log-probability, in nats, that rounding explains, with weights of 32 bits and of fewer.
_ROUNDING, _ROUNDING_16 = 1e-3, 0.25


def packs_exactly(policy: VLMPolicy, streams: Sequence[TokenStream]) -> bool:
    """Whether demonstrations may stand in one row; where not, it is told why.

    Args:
        policy: that is to learn them.
        streams: the demonstrations.
    """
    reason = why_not_packable(policy.family, policy.base_model) or _difference(policy, streams)
    if reason:
        notice(f"demonstrations were batched by length instead of packed: {reason}", policy.family.config.model_type)
    return not reason


def _difference(policy: VLMPolicy, streams: Sequence[TokenStream]) -> str:
    """What the model computes otherwise in one row; empty if nothing."""
    if not policy.head_stands_apart:
        return "its head cannot be told from what follows it"
    batch = TokenBatch.from_streams(sorted(streams, key=len)[:_TRIED]).to(policy.device)
    with torch.no_grad(), evaluation_mode(policy):
        apart, together = batch.log_probs(policy)[0], batch.log_probs(policy, packed=True)[0]
    largest = (apart - together).abs().max().item()
    exact = policy.base_model.dtype == torch.float32
    return "" if largest <= (_ROUNDING if exact else _ROUNDING_16) else f"log-probabilities differ by {largest:.2g}"
