"""A policy as it was at some moment, to compare a later one with."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from medvista.policies.sharding import full, gathered, is_sharded, own_weights, part_like
from medvista.policies.vlm_policy import VLMPolicy


class FrozenCopy:
    """Keeps the weights that a policy has now; of a sharded policy each process keeps its part.

    Args:
        policy: that goes on to be trained.
    """

    def __init__(self, policy: VLMPolicy) -> None:
        if is_sharded(policy):
            self._policy, self._weights = policy, [part.clone() for part in own_weights(policy)]
        else:
            self._policy = copy.deepcopy(policy).eval().requires_grad_(False)
            self._weights = own_weights(self._policy)

    @contextmanager
    def policy(self) -> Iterator[VLMPolicy]:
        """The policy as it was, in evaluation mode; it computes without the other processes. A collective step."""
        with gathered(self._policy, self._weights) as policy:
            yield policy

    def state_dict(self) -> dict[str, Any]:
        """The weights as a policy's `state_dict` has them. A collective step."""
        kept = dict(zip(map(id, self._policy.parameters()), self._weights, strict=True))
        return {name: full(kept.get(id(t), t)) for name, t in self._policy.state_dict(keep_vars=True).items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes the weights of another copy, whatever it was sharded over."""
        for (name, weights), part in zip(self._policy.named_parameters(), self._weights, strict=True):
            part.copy_(part_like(state[name], weights))
