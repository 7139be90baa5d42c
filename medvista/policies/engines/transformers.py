"""Generation with the training weights in this process: episodes join and leave while others decode.

Each call of `poll` feeds every running episode the token that it sampled last and samples its next one. An episode
whose turn is complete leaves, and keeps its cache; with the observation of its tool it joins again, and only what is
new is fed, which includes the end-of-turn token sampled last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from medvista.functional.log_probs import restricted_log_softmax
from medvista.policies.engines.base import Engine, GenerationRequest, SamplingParams
from medvista.policies.engines.completed_turns import completed_turns
from medvista.policies.engines.own_rows import OwnRows
from medvista.policies.engines.row_cache import RowCache
from medvista.policies.engines.shared_rows import SharedRows
from medvista.policies.image_features import ImageFeatures
from medvista.policies.vlm_policy import VLMPolicy
from medvista.types import Completion

_JOIN_AT = 0.5  # as many wait, as a share of those that run, before the batch stops for them


@dataclass(slots=True, kw_only=True, eq=False)
class _Turn:
    """A turn that is being generated."""

    request: GenerationRequest
    draws: np.ndarray  # [max_new_tokens] uniform, of the request's own seed only
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)


class TransformersEngine(Engine):
    """Generates with the policy's own weights, in this process: rollouts are never an update behind.

    Which episodes share a forward pass depends on how long turns are, not on the clock, so that a rollout whose tools
    run in line is the same to the last bit each time.

    Args:
        policy: whose weights are used.
        cache_tokens: tokens that the cache may hold, about; episodes beyond them wait. None: as many as come.

    Raises:
        UserError: the model's attention cannot take the mask of a cache whose rows differ in length.
    """

    def __init__(self, policy: VLMPolicy, *, cache_tokens: int | None = None) -> None:
        policy.family.check_attention(policy.base_model.config.get_text_config()._attn_implementation)
        self.policy = policy
        self.cache_tokens = cache_tokens
        self.version: int | None = None
        self.features = ImageFeatures(policy)
        self.rows = self._new_rows()
        self._fed = 0  # tokens, before the present rows
        self._params = SamplingParams()
        self._waiting: list[_Turn] = []
        self._running: dict[int, _Turn] = {}

    # ------------------------------------------------------------------------------------------------- submit and poll

    def submit(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> None:
        """See `Engine`.

        Raises:
            ValueError: tokens of turns under way are drawn otherwise.
        """
        if self.busy and params != self._params:
            raise ValueError(f"turns under way are drawn with {self._params}, so none with {params} can join")
        self._params = params
        self._waiting += [_Turn(request=request, draws=_uniforms(request, params)) for request in requests]

    @torch.no_grad()
    def poll(self, wait_s: float = 0.0) -> list[tuple[int, Completion]]:
        """One more token for each running episode; see `Engine`."""
        logits = []
        if self._running:
            tokens = [self._running[episode].ids[-1] for episode in self.rows.running]
            logits.append(self.rows.decode(torch.tensor(tokens, device=self.policy.device)))
        if joining := self._joining():
            logits.append(self.rows.begin([turn.request for turn in joining]))
            self._running |= {turn.request.episode: turn for turn in joining}
        return self._take_token(torch.cat(logits)) if logits else []

    @property
    def busy(self) -> bool:
        """See `Engine`."""
        return bool(self._waiting or self._running)

    @property
    def fed_tokens(self) -> int:
        """Tokens that went through the model so far, padding not counted."""
        return self._fed + self.rows.fed

    def release(self, episodes: Sequence[int] | None = None) -> None:
        """See `Engine`."""
        if episodes is not None:
            self.rows.drop(episodes)
            return
        self._waiting, self._running, self._fed = [], {}, self.fed_tokens
        self.features.clear()
        self.rows = self._new_rows()

    def update_weights(self, version: int) -> None:
        """The weights are the policy's own, so they are there already; what old ones computed is forgotten."""
        self.release()
        self.version = version

    def _new_rows(self) -> SharedRows | OwnRows:
        alone = self.policy.family.one_row_per_cache or not RowCache.holds(self.policy.base_model.config)
        return (OwnRows if alone else SharedRows)(self.policy, self.features)

    # ------------------------------------------------------------------------------------------------------- who joins

    def _joining(self) -> list[_Turn]:
        """The waiting turns that begin now, taken from the queue."""
        if len(self._waiting) < max(1, _JOIN_AT * len(self._running)):
            return []
        admitted = self._admitted()
        if not admitted and not self._running:
            admitted = self._make_way()
        chosen = set(map(id, admitted))
        self._waiting = [turn for turn in self._waiting if id(turn) not in chosen]
        return admitted

    def _admitted(self) -> list[_Turn]:
        """As many of the waiting as the budget of the cache allows, first those that it holds already."""
        if self.cache_tokens is None:
            return list(self._waiting)
        held = self.rows.held
        budget = self.cache_tokens - sum(held.values())
        budget -= sum(self._params.max_new_tokens - len(turn.ids) for turn in self._running.values())
        admitted = []
        for turn in sorted(self._waiting, key=lambda turn: turn.request.episode not in held):
            budget -= self._most_tokens(turn) - held.get(turn.request.episode, 0)
            if budget < 0:
                break
            admitted.append(turn)
        return admitted

    def _make_way(self) -> list[_Turn]:
        """The first of the waiting, for whom others' caches are given up: nothing would go on otherwise."""
        first = min(self._waiting, key=lambda turn: turn.request.episode not in self.rows.held)
        others = {episode: held for episode, held in self.rows.held.items() if episode != first.request.episode}
        budget = (self.cache_tokens or 0) - self._most_tokens(first)
        for episode in list(others):
            if sum(others.values()) > budget:
                self.rows.drop([episode])
                del others[episode]
        return [first]

    def _most_tokens(self, turn: _Turn) -> int:
        return len(turn.request.trajectory.stream) + self._params.max_new_tokens

    # -------------------------------------------------------------------------------------------------------- sampling

    def _take_token(self, logits: Tensor) -> list[tuple[int, Completion]]:
        """Samples every running episode's next token; the turns that it completes."""
        turns = [self._running[episode] for episode in self.rows.running]
        draws = torch.tensor([turn.draws[len(turn.ids)] for turn in turns], dtype=torch.float64, device=logits.device)
        chosen, log_probs = self._sample(logits, draws, self._params.temperature)
        for turn, token, log_prob in zip(turns, chosen.tolist(), log_probs.tolist(), strict=True):
            turn.ids.append(token)
            turn.log_probs.append(log_prob)
        ends = self.policy.turn_ends.ids
        ended = [turn for turn in turns if turn.ids[-1] in ends or len(turn.ids) == self._params.max_new_tokens]
        episodes = [turn.request.episode for turn in ended]
        if ended:
            self.rows.leave(episodes)
        for episode in episodes:
            del self._running[episode]
        found = completed_turns(
            self.policy, [turn.ids for turn in ended], [turn.log_probs for turn in ended], self.version
        )
        return list(zip(episodes, found, strict=True))

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


def _uniforms(request: GenerationRequest, params: SamplingParams) -> np.ndarray:
    """``[max_new_tokens]`` draws that depend on the request's own seed only."""
    if params.temperature == 0:
        return np.zeros(params.max_new_tokens)
    return np.random.default_rng(request.seed).random(params.max_new_tokens)
