"""The values that a policy's trained weights had at some moment, and the policy as it was then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from medvista.policies.vlm_policy import VLMPolicy


class FrozenWeights:
    """Keeps a copy of what is trained, which of a policy with adapters is these alone.

    To compute with the kept values they change places with the policy's own, weight by weight and in place, so that
    nothing else has to know: no second model, one weight more in memory at a time, and the kept ones may wait on the
    processor's side. In place also for weights that a strategy has sharded, of which each process keeps its part.

    Args:
        policy: as it is to be remembered.
        device: where the copy is kept; None: beside each weight.
        dtype: what it is kept in; None: what each weight is in.
    """

    def __init__(self, policy: VLMPolicy, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        self.device = device
        self.values = {name: _own_part(p).to(device, dtype, copy=True) for name, p in _trained(policy)}

    def to_weights(self, policy: VLMPolicy) -> None:
        """Moves the copy to where the weights are now, unless it is kept elsewhere."""
        if self.device is None:
            places = {name: _own_part(parameter).device for name, parameter in _trained(policy)}
            self.values = {name: value.to(places[name]) for name, value in self.values.items()}

    @contextmanager
    def in_place_of(self, policy: VLMPolicy) -> Iterator[None]:
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
    def move_towards(self, policy: VLMPolicy, decay: float) -> None:
        """Averages the kept values with the policy's: ``decay`` of the kept ones stays."""
        for name, parameter in _trained(policy):
            kept = self.values[name]
            kept.lerp_(_own_part(parameter).to(kept.device, kept.dtype), 1 - decay)

    def summary(self) -> dict[str, float]:
        """A number per weight, by which two copies are told apart."""
        return {name: float(value.double().abs().mean()) for name, value in self.values.items()}

    def differing(self, summary: Mapping[str, float]) -> list[str]:
        """The weights that are not those of which a summary was made; sums may differ in their last digits."""
        own = self.summary()
        return [
            name
            for name in sorted({*own, *summary})
            if name not in own or name not in summary or abs(own[name] - summary[name]) > 1e-7 * abs(own[name])
        ]

    @torch.no_grad()
    def _exchange(self, policy: VLMPolicy) -> None:
        for name, parameter in _trained(policy):
            weight, kept = _own_part(parameter), self.values[name]
            waiting = weight.clone()
            weight.copy_(kept)
            kept.copy_(waiting)


def _trained(policy: VLMPolicy) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in policy.named_parameters() if parameter.requires_grad)


def _own_part(parameter: nn.Parameter) -> Tensor:
    """The values themselves; of a sharded weight, this process's part."""
    value = parameter.detach()
    part: Tensor = value.to_local() if hasattr(value, "to_local") else value
    return part
