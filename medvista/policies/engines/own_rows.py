"""Forward passes of one episode at a time: for models that keep more of a row than keys and values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from medvista.policies.engines.base import GenerationRequest
from medvista.policies.engines.image_features import ImageFeatures
from medvista.policies.vlm_policy import VLMPolicy, image_shapes


@dataclass(slots=True, eq=False)
class _Own:
    """What is kept of one episode."""

    cache: Any  # as the model's configuration asks for it
    length: int = 0  # tokens of its stream in the cache
    images: int = 0  # pictures of its stream in the cache
    next_position: int = 0


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
            own = self._kept.setdefault(episode, _Own(DynamicCache(config=self.policy.model.config.get_text_config())))
            ids = torch.tensor([stream.token_ids[own.length :]], device=self.policy.device)
            images = stream.images[own.images :]
            shapes = image_shapes(images, self.policy.device)
            positions = self.policy.position_ids(ids, torch.ones_like(ids), shapes) + own.next_position
            own.images, own.next_position = len(stream.images), int(positions.max()) + 1
            logits.append(self._forward(own, ids, positions, self.features.inputs(images)))
            self.running.append(episode)
        return torch.cat(logits)

    def decode(self, tokens: Tensor) -> Tensor:
        """See `SharedRows`."""
        logits = []
        for episode, token in zip(self.running, tokens, strict=True):
            own = self._kept[episode]
            positions = self.policy.text_positions(torch.tensor([own.next_position], device=self.policy.device))
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
        own.length += ids.shape[1]
        self.fed += ids.shape[1]
        mask = torch.ones(1, own.length, dtype=torch.long, device=ids.device)
        return self.policy.logits(
            ids, mask, images, last=1, position_ids=positions, past_key_values=own.cache, use_cache=True
        )[:, -1]
