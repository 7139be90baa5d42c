"""Forward passes of one episode at a time: for models that keep more of a row than keys and values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medvista.policies.engines.base import GenerationRequest
from medvista.policies.image_features import ImageFeatures, shapes
from medvista.policies.vlm_policy import VLMPolicy


@dataclass(slots=True, eq=False)
class _Own:
    """What is kept of one episode."""

    cache: Any  # as its family makes it
    ids: Tensor  # [1, L], the tokens in the cache
    images: int = 0  # pictures of its stream in the cache
    next_position: int = 0

    @property
    def length(self) -> int:
        """Tokens of its stream in the cache."""
        return self.ids.shape[1]


class OwnRows:
    """A cache per episode, without padding or gaps, whatever a family keeps in it: slower than `SharedRows`.

    Sliding windows count columns and recurrent states remember padding, so rows of different length cannot share those.

    Args:
        policy: whose weights are used.
        features: of the images.
    """

    def __init__(self, policy: VLMPolicy, features: ImageFeatures) -> None:
        self.policy = policy
        self.features = features
        self.running: list[int] = []
        self.fed = 0  # tokens that went through the model so far
        self._kept: dict[int, _Own] = {}

    @property
    def held(self) -> dict[int, int]:
        """Tokens in the caches, by episode."""
        return {episode: own.length for episode, own in self._kept.items()}

    def begin(self, requests: Sequence[GenerationRequest]) -> Tensor:
        """See `SharedRows`."""
        logits = []
        for request in requests:
            stream, episode = request.trajectory.stream, request.episode
            if episode in self._kept and self._kept[episode].length >= len(stream):
                self.drop([episode])
            empty = torch.zeros(1, 0, dtype=torch.long, device=self.policy.device)
            own = self._kept.setdefault(episode, _Own(self.policy.family.new_cache(), empty))
            ids = torch.tensor([stream.token_ids[own.length :]], device=self.policy.device)
            images = stream.images[own.images :]
            shown = shapes(images, self.policy.device)
            positions = self.policy.position_ids(ids, torch.ones_like(ids), shown) + own.next_position
            own.images, own.next_position = len(stream.images), int(positions.max()) + 1
            logits.append(self._forward(own, ids, positions, self.features.inputs(images)))
            self.running.append(episode)
        return torch.cat(logits)

    def decode(self, tokens: Tensor) -> Tensor:
        """See `SharedRows`."""
        logits = []
        for episode, token in zip(self.running, tokens, strict=True):
            own = self._kept[episode]
            positions = self.policy.family.text_positions(torch.tensor([own.next_position], device=self.policy.device))
            own.next_position += 1
            logits.append(self._forward(own, token[None, None], positions, {}))
        return torch.cat(logits)

    def leave(self, episodes: Collection[int]) -> None:
        """See `SharedRows`."""
        self.running = [episode for episode in self.running if episode not in episodes]

    def drop(self, episodes: Collection[int]) -> None:
        """See `SharedRows`."""
        for episode in episodes:
            self._kept.pop(episode, None)

    def _forward(self, own: _Own, ids: Tensor, positions: Tensor, images: dict[str, Any]) -> Tensor:
        own.ids = torch.cat([own.ids, ids], dim=1)
        self.fed += ids.shape[1]
        length = own.ids.shape[1]
        columns = torch.arange(length, device=ids.device)
        new = columns[length - ids.shape[1] :]
        causal = (columns <= new[:, None])[None, None]
        visible = self.policy.family.visible(causal, new[None], own.ids, torch.ones_like(own.ids))
        return self.policy.logits(
            ids, visible, images, last=1, position_ids=positions, past_key_values=own.cache, use_cache=True
        )[:, -1]
