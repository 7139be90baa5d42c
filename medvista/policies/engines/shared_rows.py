"""Forward passes of many episodes that share one key-value cache."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from medvista.policies.engines.base import GenerationRequest
from medvista.policies.engines.row_cache import CachedRow, RowCache
from medvista.policies.image_features import ImageFeatures, shapes
from medvista.policies.vlm_policy import VLMPolicy
from medvista.types import TokenStream


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Prompt:
    """A prompt that some row of the cache begins with."""

    end: CachedRow  # what the row held when it had read the prompt
    logits: Tensor  # [V], of what the model writes next
    images: Any  # kept, so that no other image gets their identity


class SharedRows:
    """The episodes of a rollout as rows of one cache: a prompt that siblings share is read once.

    Args:
        policy: whose weights are used.
        features: of the images.
    """

    def __init__(self, policy: VLMPolicy, features: ImageFeatures) -> None:
        self.policy = policy
        self.features = features
        self.cache = RowCache(policy.base_model.config, policy.device)
        self.fed = 0  # tokens that went through the model so far, padding not counted
        self._prompts: dict[Any, _Prompt] = {}
        self._readers: dict[int, Any] = {}  # episode -> the prompt that its row begins with

    @property
    def running(self) -> list[int]:
        """The episodes that decode, in the order of the batch."""
        return [row.episode for row in self.cache.decoding]

    @property
    def held(self) -> dict[int, int]:
        """Tokens in the cache, by episode."""
        return {row.episode: row.length for row in self.cache.rows}

    def begin(self, requests: Sequence[GenerationRequest]) -> Tensor:
        """Feeds what the cache has not seen and lets the episodes decode; logits ``[B, V]`` in the order of `running`.

        Only those of the episodes that begin: they stand behind those that were running.
        """
        streams = {request.episode: request.trajectory.stream for request in requests}
        held = self.held
        self.drop([episode for episode in streams if held.get(episode, 0) >= len(streams[episode])])
        going_on = [episode for episode in streams if episode in self._readers]
        prompts = {episode: _name(streams[episode]) for episode in streams if episode not in self._readers}
        first = {key: episode for episode, key in reversed(prompts.items())}
        readers = [episode for key, episode in first.items() if key not in self._prompts]
        siblings = [episode for episode in prompts if episode not in readers]
        logits = [self._feed(self.cache.join(going_on), streams)] if going_on else []
        if readers:
            self.cache.add(readers)
            logits.append(self._feed(self.cache.join(readers), streams))
            self._remember(prompts, streams, logits[-1])
        if siblings:
            logits.append(self._copy_prompts(siblings, prompts))
        return torch.cat(logits)

    def decode(self, tokens: Tensor) -> Tensor:
        """Feeds one token ``[B]`` to each episode that decodes; next-token logits ``[B, V]``."""
        rows = self.cache.decoding
        positions = self.policy.family.text_positions(
            torch.tensor([row.next_position for row in rows], device=self.policy.device)
        )
        visible = self.policy.family.visible(*self.cache.feed(slice(0, len(rows)), tokens[:, None], [1] * len(rows)))
        for row in rows:
            row.next_position += 1
        self.fed += len(rows)
        return self._forward(tokens[:, None], visible, positions, {})

    def leave(self, episodes: Collection[int]) -> None:
        """These episodes decode no more; what was computed for them is kept."""
        self.cache.leave(episodes)

    def drop(self, episodes: Collection[int]) -> None:
        """Forgets these episodes, which do not decode."""
        held = [episode for episode in episodes if episode in self._readers]
        if not held:
            return
        self.cache.drop(held)
        for episode in held:
            del self._readers[episode]
        for key in self._prompts.keys() - set(self._readers.values()):
            del self._prompts[key]

    # ---------------------------------------------------------------------------------------------------------- prompts

    def _holder(self, key: Any) -> int:
        """An episode whose row begins with a prompt."""
        return next(episode for episode, read in self._readers.items() if read == key)

    def _remember(self, prompts: Mapping[int, Any], streams: Mapping[int, TokenStream], logits: Tensor) -> None:
        """Keeps where the prompts end that the last rows have just read, and what the model would write next."""
        rows = self.cache.decoding[-len(logits) :]
        for row, scores in zip(rows, logits, strict=True):
            key = prompts[row.episode]
            self._prompts[key] = _Prompt(end=replace(row), logits=scores, images=streams[row.episode].images)
            self._readers[row.episode] = key

    def _copy_prompts(self, episodes: Sequence[int], prompts: Mapping[int, Any]) -> Tensor:
        """Rows for episodes whose prompts are in the cache; the logits that follow them."""
        self.cache.add(episodes)
        into = self.cache.join(episodes)
        keys = [prompts[row.episode] for row in self.cache.rows[into]]
        place = {row.episode: index for index, row in enumerate(self.cache.rows)}
        holders = {key: self._holder(key) for key in set(keys)}
        ends = [self._prompts[key] for key in keys]
        self.cache.copy([place[holders[key]] for key in keys], into, [prompt.end for prompt in ends])
        self._readers |= {row.episode: key for row, key in zip(self.cache.rows[into], keys, strict=True)}
        return torch.stack([prompt.logits for prompt in ends])

    # ----------------------------------------------------------------------------------------------------- forward pass

    def _feed(self, place: slice, streams: Mapping[int, TokenStream]) -> Tensor:
        """Feeds rows what they lack of their streams; the logits of their last tokens."""
        rows = self.cache.rows[place]
        own = [streams[row.episode] for row in rows]
        ids, mask = _padded([stream.token_ids[row.length :] for stream, row in zip(own, rows, strict=True)])
        ids, mask = ids.to(self.policy.device), mask.to(self.policy.device)
        images = [image for stream, row in zip(own, rows, strict=True) for image in stream.images[row.images :]]
        before = torch.tensor([[row.next_position] for row in rows], device=self.policy.device)
        positions = self.policy.position_ids(ids, mask, shapes(images, self.policy.device)) + before
        counts = mask.sum(dim=1).tolist()
        visible = self.policy.family.visible(*self.cache.feed(place, ids, counts))
        logits = self._forward(ids, visible, positions, self.features.inputs(images))
        ends = positions.masked_fill(mask == 0, 0).amax(dim=-1)
        ends = ends.amax(dim=0) if ends.dim() == 2 else ends
        for row, stream, end in zip(rows, own, ends.tolist(), strict=True):
            row.images, row.next_position = len(stream.images), end + 1
        self.fed += sum(counts)
        return logits

    def _forward(self, ids: Tensor, visible: Any, positions: Tensor, images: dict[str, Any]) -> Tensor:
        return self.policy.logits(
            ids, visible, images, last=1, position_ids=positions, past_key_values=self.cache.states, use_cache=True
        )[:, -1]


def _name(stream: TokenStream) -> Any:
    """Equal for streams of the same tokens and the same images; siblings share the objects of theirs."""
    return stream.token_ids, tuple(map(id, stream.images))


def _padded(news: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask ``[B, n]``, padded on the left: the last column is every row's last token."""
    width = max(map(len, news))
    ids, mask = torch.zeros(len(news), width, dtype=torch.long), torch.zeros(len(news), width, dtype=torch.long)
    for row, tokens in enumerate(news):
        ids[row, width - len(tokens) :] = torch.tensor(tokens)
        mask[row, width - len(tokens) :] = 1
    return ids, mask
