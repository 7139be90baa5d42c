"""What makes a step the same on any number of processes, each of which holds a part of its rows."""

from __future__ import annotations

from torch import Tensor

from medvista.functional.objectives import LossCounts
from medvista.policies.sharding import is_sharded
from medvista.policies.vlm_policy import VLMPolicy
from medvista.ranks import totals, world_size
from medvista.rollout.experience import TokenBatch


def world_counts(mask_NT: Tensor) -> LossCounts:
    """What each process divides the loss of its rows by: the counts of all rows of the step, per process.

    Gradients are averaged over processes, so that parts divided by ``count / world_size`` add up to the whole divided
    by ``count``. Counted once per optimiser step, before its rows are split into parts. A collective step.

    Args:
        mask_NT: of this process's rows, True on tokens that carry loss.
    """
    own = LossCounts.of(mask_NT)
    counts = totals({"sequences": own.sequences, "tokens": own.tokens})
    return LossCounts(sequences=counts["sequences"] / world_size(), tokens=counts["tokens"] / world_size())


def with_every_parameter(loss: Tensor, policy: VLMPolicy, batch: TokenBatch) -> Tensor:
    """The same loss, with a gradient of zero for parameters that the rows of this process did not need.

    Processes wait for each other's gradient of every parameter, and rows without an image have none for the vision
    tower; on one process its momentum would stand still where on several it goes on.
    """
    if is_sharded(policy) or (world_size() == 1 and any(batch.images)):  # a sharded policy sees to it by itself
        return loss
    return loss + sum(0.0 * p.flatten()[0] for p in policy.parameters() if p.requires_grad)
