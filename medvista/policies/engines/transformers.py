"""Batched generation with the training weights, keeping the key-value cache across turns.

All waiting episodes decode together, in one cache, one row each. Rows differ in length, so a row's tokens are not
contiguous in the cache: where one row is fed fewer tokens than another it gets padding that the attention mask hides,
and positions are counted per row. Only tokens that the cache has not seen are fed, which includes the end-of-turn
token sampled last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medvista.functional.log_probs import restricted_log_softmax
from medvista.policies.engines.base import GenerationRequest, SamplingParams
from medvista.policies.families.attention import attention_pattern
from medvista.policies.vlm_policy import VLMPolicy
from medvista.types import Completion


class TransformersEngine:
    """Generates with the policy's own weights, in this process: rollouts are never an update behind.

    Raises:
        UserError: the model's attention cannot take the mask of a cache whose rows have gaps.
    """

    def __init__(self, policy: VLMPolicy) -> None:
        policy.family.check_attention(policy.base_model.config.get_text_config()._attn_implementation)
        self.policy = policy
        self._rows: _CachedRows | None = None
        self._alone: dict[int, TransformersEngine] = {}  # of episodes whose rows may not share a cache

    @torch.no_grad()
    def generate(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> list[Completion]:
        """The next turn of each episode; see `Engine`."""
        if not requests:
            return []
        if self.policy.family.one_row_per_cache and len(requests) > 1:
            alone = {r.episode: self._alone.setdefault(r.episode, TransformersEngine(self.policy)) for r in requests}
            return [completion for r in requests for completion in alone[r.episode].generate([r], params)]
        if self._rows is None or not self._rows.continues(requests):
            self._rows = _CachedRows(self.policy)
        logits = self._rows.prefill(requests)
        draws = _uniforms(requests, params).to(logits.device)
        ends = torch.tensor(self.policy.turn_ends.ids, device=logits.device)
        tokens, log_probs = [], []
        running = torch.ones(len(requests), dtype=torch.bool, device=logits.device)
        for step in range(params.max_new_tokens):
            chosen, log_prob = self._sample(logits, draws[:, step], params.temperature)
            tokens.append(torch.where(running, chosen, -1))
            log_probs.append(log_prob)
            running = running & ~torch.isin(chosen, ends)
            if step + 1 == params.max_new_tokens or not running.any():
                break
            logits = self._rows.decode(chosen, running)
        return self._completions(torch.stack(tokens, dim=1), torch.stack(log_probs, dim=1))

    def release(self) -> None:
        """Free the cache; call it when the weights change or the rollout ends."""
        self._rows, self._alone = None, {}

    def _sample(self, logits: Tensor, draws: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Ids ``[B]`` and their log-probabilities ``[B]`` from logits ``[B, V]`` and uniform draws ``[B]``."""
        scores = restricted_log_softmax(logits, self.policy.allowed_ids, temperature or 1.0)
        if temperature == 0:
            chosen = scores.argmax(dim=-1)
        else:
            cumulative = scores.double().exp().cumsum(dim=-1)
            # Scaled by the last entry, which rounding leaves a little off 1, so that no banned tail id can be drawn.
            chosen = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True).squeeze(-1)
            chosen = chosen.clamp_max(scores.shape[-1] - 1)
        return chosen, scores.gather(-1, chosen[:, None]).squeeze(-1)

    def _completions(self, tokens: Tensor, log_probs: Tensor) -> list[Completion]:
        tokenizer, ends = self.policy.tokenizer, self.policy.turn_ends.ids
        ids = [[i for i in row if i >= 0] for row in tokens.tolist()]
        stopped = [row[-1] in ends for row in ids]
        texts = tokenizer.batch_decode(
            [row[:-1] if stop else row for row, stop in zip(ids, stopped, strict=True)],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return [
            Completion(
                token_ids=tuple(row),
                log_probs=tuple(scores[: len(row)]),
                text=text,
                finish_reason="stop" if stop else "length",
            )
            for row, scores, text, stop in zip(ids, log_probs.tolist(), texts, stopped, strict=True)
        ]


class _CachedRows:
    """The cache of a batch of episodes, one row each."""

    def __init__(self, policy: VLMPolicy) -> None:
        self.policy = policy
        self.cache = policy.family.new_cache()
        self.row_of: dict[int, int] = {}  # episode -> row
        self.fed: list[int] = []  # tokens of each row's stream that are in the cache
        self.images_fed: list[int] = []
        self.mask = torch.zeros(0, 0, dtype=torch.long, device=policy.device)  # [B, L], 1 where the cache holds a token
        self.ids = torch.zeros_like(self.mask)  # [B, L], the tokens
        self.next_position = torch.zeros(0, dtype=torch.long, device=policy.device)  # [B]

    def continues(self, requests: Sequence[GenerationRequest]) -> bool:
        """True when every request is a row of this cache that has grown."""
        return all(
            r.episode in self.row_of and len(r.trajectory.stream) > self.fed[self.row_of[r.episode]] for r in requests
        )

    def prefill(self, requests: Sequence[GenerationRequest]) -> Tensor:
        """Feeds what the cache has not seen; next-token logits ``[B, V]``."""
        self._select(requests)
        new = [r.trajectory.stream.token_ids[done:] for r, done in zip(requests, self.fed, strict=True)]
        width = max(len(ids) for ids in new)
        ids = torch.zeros(len(new), width, dtype=torch.long)
        mask = torch.zeros(len(new), width, dtype=torch.long)
        for row, tokens in enumerate(new):  # padded on the left, so that the last column is every row's last token
            ids[row, width - len(tokens) :] = torch.tensor(tokens)
            mask[row, width - len(tokens) :] = 1
        ids, mask = ids.to(self.policy.device), mask.to(self.policy.device)
        fresh = [
            im for r, done in zip(requests, self.images_fed, strict=True) for im in r.trajectory.stream.images[done:]
        ]
        images = self.policy.family.collate(fresh, self.policy.device)
        positions = self.policy.position_ids(ids, mask, images) + self.next_position[:, None]
        logits = self._forward(ids, mask, positions, images)
        self.fed = [len(r.trajectory.stream) for r in requests]
        self.images_fed = [len(r.trajectory.stream.images) for r in requests]
        last = positions.masked_fill(mask == 0, 0)
        self.next_position = (last.amax(dim=(0, 2)) if last.dim() == 3 else last.amax(dim=1)) + 1
        return logits

    def decode(self, tokens: Tensor, running: Tensor) -> Tensor:
        """Feeds one sampled token ``[B]`` to the rows still running; next-token logits ``[B, V]``."""
        mask = running.long()[:, None]
        positions = self.policy.family.text_positions(self.next_position)
        logits = self._forward(tokens[:, None], mask, positions, {})
        self.fed = [n + int(m) for n, m in zip(self.fed, running.tolist(), strict=True)]
        self.next_position = self.next_position + mask[:, 0]
        return logits

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, images: dict[str, Any]) -> Tensor:
        self.mask, self.ids = torch.cat([self.mask, mask], dim=1), torch.cat([self.ids, ids], dim=1)
        columns = torch.arange(self.mask.shape[1], device=self.mask.device)[-ids.shape[1] :].expand_as(ids)
        causal = attention_pattern(self.mask, new=ids.shape[1])
        visible = self.policy.family.visible(causal, columns, self.ids, self.mask)
        return self.policy.logits(
            ids, visible, images, last=1, position_ids=positions, past_key_values=self.cache, use_cache=True
        )[:, -1]

    def _select(self, requests: Sequence[GenerationRequest]) -> None:
        """Keeps the rows of these requests, in their order; starts with empty rows."""
        episodes = [r.episode for r in requests]
        if not self.row_of:
            self.fed, self.images_fed = [0] * len(episodes), [0] * len(episodes)
            self.mask = self.ids = self.mask.new_zeros(len(episodes), 0)
            self.next_position = self.next_position.new_zeros(len(episodes))
        else:
            rows = [self.row_of[episode] for episode in episodes]
            if rows != list(range(len(self.fed))):
                index = torch.tensor(rows, device=self.mask.device)
                self.cache.batch_select_indices(index)
                self.mask, self.ids, self.next_position = self.mask[index], self.ids[index], self.next_position[index]
                self.fed, self.images_fed = [self.fed[i] for i in rows], [self.images_fed[i] for i in rows]
        self.row_of = {episode: row for row, episode in enumerate(episodes)}


def _uniforms(requests: Sequence[GenerationRequest], params: SamplingParams) -> Tensor:
    """``[B, max_new_tokens]`` draws that depend on each request's own seed only."""
    if params.temperature == 0:
        return torch.zeros(len(requests), params.max_new_tokens)
    rows = [np.random.default_rng(r.seed).random(params.max_new_tokens) for r in requests]
    return torch.from_numpy(np.stack(rows))
