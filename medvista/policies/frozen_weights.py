"""The values that a policy's trained weights had at some moment, and the policy as it was then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from medvista.policies.sharding import full, gathered, is_sharded, own_part, part_like
from medvista.policies.vlm_policy import VLMPolicy


class FrozenWeights:
    """Keeps a copy of what is trained, which of a policy with adapters is these alone.

    To compute with the kept values they change places with the policy's own, weight by weight and in place, so that
    nothing else has to know: no second model, one weight more in memory at a time, and the kept ones may wait on the
    processor's side. Of a sharded policy each process keeps its part.

    Args:
        policy: as it is to be remembered.
        device: where the copy is kept; None: beside each weight.
        dtype: what it is kept in; None: what each weight is in.
    """

    def __init__(self, policy: VLMPolicy, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        self.device = device
        self.values = {name: own_part(p).to(device, dtype, copy=True) for name, p in _trained(policy)}

    def to_weights(self, policy: VLMPolicy) -> None:
        """Moves the copy to where the weights are now, unless it is kept elsewhere."""
        if self.device is None:
            places = {name: own_part(parameter).device for name, parameter in _trained(policy)}
            self.values = {name: value.to(places[name]) for name, value in self.values.items()}

    @contextmanager
    def policy(self, policy: VLMPolicy) -> Iterator[VLMPolicy]:
        """The policy as it was; it computes without the other processes. A collective step."""
        with self._in_place_of(policy), gathered(policy) as remembered:
            yield remembered

    @torch.no_grad()
    def move_towards(self, policy: VLMPolicy, decay: float) -> None:
        """Averages the kept values with the policy's: ``decay`` of the kept ones stays."""
        for name, parameter in _trained(policy):
            kept = self.values[name]
            kept.lerp_(own_part(parameter).to(kept.device, kept.dtype), 1 - decay)

    def state_dict(self, policy: VLMPolicy) -> dict[str, Tensor]:
        """The kept values, whole. A collective step."""
        return {name: value.clone() for name, value in self._whole(policy)}

    def load_state_dict(self, state: Mapping[str, Tensor], policy: VLMPolicy) -> None:
        """Takes the values of another copy, whatever it was sharded over."""
        for name, parameter in _trained(policy):
            part = part_like(state[name], parameter)
            self.values[name].copy_(own_part(part))

    def summary(self, policy: VLMPolicy) -> dict[str, float]:
        """A number per weight, by which two copies are told apart. A collective step."""
        return {name: float(value.double().abs().mean()) for name, value in self._whole(policy)}

    def _whole(self, policy: VLMPolicy) -> Iterator[tuple[str, Tensor]]:
        if not is_sharded(policy):
            yield from self.values.items()
            return
        with self._in_place_of(policy):
            for name, parameter in _trained(policy):
                yield name, full(parameter.detach())

    @contextmanager
    def _in_place_of(self, policy: VLMPolicy) -> Iterator[None]:
        """Inside, the policy has the kept values; afterwards its own again, to the last bit."""
        # Values that are kept in another type than the weights' are rounded on their way: they come back from here.
        types = {name: parameter.dtype for name, parameter in _trained(policy)}
        exact = {name: value.clone() for name, value in self.values.items() if value.dtype != types[name]}
        self._exchange(policy)
        try:
            yield
        finally:
            self._exchange(policy)
            self.values |= exact

    @torch.no_grad()
    def _exchange(self, policy: VLMPolicy) -> None:
        for name, parameter in _trained(policy):
            weight, kept = own_part(parameter), self.values[name]
            waiting = weight.clone()
            weight.copy_(kept)
            kept.copy_(waiting)


def differing(one: Mapping[str, float], other: Mapping[str, float]) -> list[str]:
    """The weights of which two summaries differ, by more than sums do in their last digits.

    >>> differing({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.5, "c": 0.0})
    ['b', 'c']
    """
    near = {name for name in one.keys() & other.keys() if abs(one[name] - other[name]) <= 1e-7 * abs(one[name])}
    return sorted((one.keys() | other.keys()) - near)


def _trained(policy: VLMPolicy) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in policy.named_parameters() if parameter.requires_grad)
