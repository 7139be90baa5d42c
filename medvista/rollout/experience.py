"""Trajectories -> tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from einops import rearrange, repeat
from torch import Tensor

from medvista.policies import ChatRenderer, VLMPolicy
from medvista.policies.shared_prompts import Prompt
from medvista.rollout.demonstrated_turns import demonstrated_turns
from medvista.types import TokenSegment, TokenStream, Trajectory, TrajectoryGroup

Images = tuple[Mapping[str, Tensor], ...]


@dataclass(slots=True, kw_only=True, eq=False)
class TokenBatch:
    """Right-padded token streams. Siblings share their image tensors, so each image is in memory once."""

    token_ids: Tensor  # [N, T]
    attention_mask: Tensor  # [N, T], 1 on real tokens
    loss_mask: Tensor  # [N, T] bool, True where the policy (or the demonstrator) wrote the token
    images: tuple[Images, ...]  # of each row, in the order of their placeholders

    def __len__(self) -> int:
        return len(self.token_ids)

    @classmethod
    def from_streams(cls, streams: Sequence[TokenStream], **more: Any) -> Self:
        """Pads streams on the right; `more` are the fields of a subclass."""
        return cls(
            token_ids=_pad([s.token_ids for s in streams], 0, torch.long),
            attention_mask=_pad([(1,) * len(s) for s in streams], 0, torch.long),
            loss_mask=_pad([s.loss_mask for s in streams], False, torch.bool),
            images=tuple(s.images for s in streams),
            **more,
        )

    def log_probs(self, policy: VLMPolicy, **options: Any) -> tuple[Tensor, ...]:
        """See `VLMPolicy.forward`: ``[N, T]`` log-probabilities and entropies, and values if asked for."""
        return policy(self.token_ids, self.attention_mask, self.loss_mask, self.images, **options)

    def shared_prompts(self, policy: VLMPolicy) -> list[Prompt] | None:
        """See `VLMPolicy.shared_prompts`."""
        return policy.shared_prompts(self.token_ids, self.attention_mask, self.loss_mask, self.images)

    def to(self, device: torch.device | str) -> Self:
        """The batch with its tensors on a device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def select(self, rows: Sequence[int]) -> Self:
        """The batch of some rows, trimmed to their longest stream."""
        index = torch.as_tensor(rows, device=self.token_ids.device)
        longest = int(self.attention_mask[index].sum(dim=1).max())
        chosen: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                value = value[index][:, :longest] if value.dim() == 2 else value[index]
            elif isinstance(value, tuple) and len(value) == len(self):
                value = tuple(value[row] for row in rows)
            chosen[f.name] = value
        return replace(self, **chosen)

    def without_loss(self) -> Self:
        """The batch with every token masked out."""
        return replace(self, loss_mask=torch.zeros_like(self.loss_mask))


@dataclass(slots=True, kw_only=True, eq=False)
class ExperienceBatch(TokenBatch):
    """What one RL update sees."""

    old_log_probs: Tensor  # [N, T] under the policy before the update, as the engine computed them or the trainer did
    rewards: Tensor  # [N]
    groups: Tensor  # [N], number of the row's group in the update, over all processes; siblings share it
    trajectories: tuple[Trajectory, ...]
    reference_log_probs: Tensor | None = None  # [N, T], filled by ReferenceKL
    advantages: Tensor | None = None  # [N, T], filled by the module that learns from the batch
    credits: Tensor | None = None  # [N, T], of single calls on their own tokens, see `medvista.rollout.forks`
    engine_log_probs: Tensor | None = None  # [N, T], as the engine computed them where the old ones are the trainer's
    values: Tensor | None = None  # [N, T], where the module has a value head
    returns: Tensor | None = None  # [N, T], what these should have been
    stats: Mapping[str, float] | None = None  # of the collection: seconds, zero-variance share, ...

    @classmethod
    def from_groups(cls, groups: Sequence[TrajectoryGroup], *, stats: Mapping[str, float] | None = None) -> Self:
        """Flattens groups of equal size; row ``p * G + g`` is sibling ``g`` of prompt ``p``."""
        # Rewards stay float32 under trainer.precision=bf16-true, whose rollouts have another default.
        rewards_PG = torch.tensor([group.rewards for group in groups], dtype=torch.float32)
        trajectories = tuple(t for group in groups for t in group.trajectories)
        streams = [t.stream for t in trajectories]
        return cls.from_streams(
            streams,
            old_log_probs=_pad([s.log_probs for s in streams], 0.0, torch.float32),
            rewards=rearrange(rewards_PG, "p g -> (p g)"),
            groups=repeat(torch.arange(len(groups)), "p -> (p g)", g=rewards_PG.shape[1]),
            trajectories=trajectories,
            stats=stats,
        )

    @property
    def rewards_PG(self) -> Tensor:  # noqa: N802
        """The rewards ``[P, G]`` of a batch in which siblings stand side by side.

        Raises:
            ValueError: they do not, as in a minibatch, or the groups differ in size.
        """
        numbers, sizes = self.groups.unique_consecutive(return_counts=True)
        if len(numbers.unique()) < len(numbers) or len(sizes.unique()) > 1:
            raise ValueError(f"rows of groups {self.groups.tolist()} are no whole groups side by side")
        return rearrange(self.rewards, "(p g) -> p g", p=len(numbers))


def tokenize_trajectory(trajectory: Trajectory, renderer: ChatRenderer, *, mistakes: bool = False) -> TokenStream:
    """The token stream of a recorded episode, as a rollout that wrote the same texts would have made it.

    Args:
        trajectory: the episode.
        renderer: of the policy that is to learn it.
        mistakes: whether turns that are not to be learned (`Turn.learned`) carry loss, too.

    Raises:
        UserError: see `demonstrated_turns`.
    """
    stream = TokenStream().append_segment(renderer.prompt([trajectory.observation])[0])
    for turn, written in zip(trajectory.turns, demonstrated_turns(trajectory, renderer.policy), strict=True):
        if turn.learned or mistakes:
            stream = stream.append_completion(written)
        else:
            stream = stream.append_segment(TokenSegment(token_ids=written.token_ids))
        if turn.observation is not None:
            stream = stream.append_segment(renderer.delta([turn.observation], [written.finish_reason == "stop"])[0])
    return stream


def _pad(rows: Sequence[Sequence[Any]], value: Any, dtype: torch.dtype) -> Tensor:
    """``[N, T]``, padded on the right."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows], dtype=dtype)
