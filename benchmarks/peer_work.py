"""The same updates for both trainers of `benchmarks.peer_trl`: questions, forced calls, weights and token budgets."""

from __future__ import annotations

import copy
import resource
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmarks.forced_episodes import BOXES, questions, random_nano
from medvista.policies import NanoConfig, VLMPolicy
from medvista.types import VQASample

LOOKS_WHEN_RAGGED = (0, 1, 2, 2)  # of siblings, in turn


@dataclass(frozen=True, kw_only=True)
class Work:
    """Updates on the same episodes."""

    prompts: int
    siblings: int
    looks: int | None  # zooms before the answer; None: ragged
    tokens: int  # of every turn: none of them may end earlier
    view_size: int
    samples: Sequence[VQASample] = field(repr=False)
    policy: VLMPolicy = field(repr=False)

    @property
    def episodes(self) -> int:
        """Of an update."""
        return self.prompts * self.siblings

    @property
    def looks_of_episodes(self) -> list[int]:
        """How often each of an update's episodes looks."""
        if self.looks is not None:
            return [self.looks] * self.episodes
        return [LOOKS_WHEN_RAGGED[number % len(LOOKS_WHEN_RAGGED)] for number in range(self.episodes)]

    @property
    def most_looks(self) -> int:
        """Of any episode."""
        return max(self.looks_of_episodes)

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.prompts}x{self.siblings}, {'ragged' if self.looks is None else self.looks}"


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one update took and did; tokens and images are counted alike on both sides, behind the trainer's back."""

    seconds: float
    rollout_s: float
    turns: int
    trained_tokens: int  # of all episodes, prompts included
    fed_tokens: int  # that went through the model in the rollout, padding not counted
    distinct_tokens: int  # of them, the prompt of siblings counted once
    encoded: int  # images that went through the vision tower in the rollout
    encoded_in_training: int  # in the passes behind it, of which there are two: the reference's and the policy's
    images: int  # distinct ones
    rss_mb: float  # most that the process has taken so far


def zoom_box(turn: int) -> list[int]:
    """Where the call of a turn looks."""
    return list(BOXES[turn % len(BOXES)])


def make_work(
    prompts: int, siblings: int, looks: int | None, *, tokens: int, view_size: int, vocabulary: int = 0
) -> Work:
    """Work with a nano policy of random weights, whose turns cannot end before they have their tokens.

    Args:
        prompts: questions per update.
        siblings: episodes per question.
        looks: see `Work`.
        tokens: see `Work`.
        view_size: pixels of a side of what is shown.
        vocabulary: ids of the model at least.
    """
    samples = questions(prompts)
    policy = random_nano(samples, NanoConfig(view_size=view_size))
    if vocabulary:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            policy.model.resize_token_embeddings(vocabulary, mean_resizing=False)
        policy = VLMPolicy(model=policy.model, tokenizer=policy.tokenizer, image_processor=policy.image_processor)
    policy.allowed_ids[list(policy.turn_ends.ids)] = False
    policy.vision_tower.requires_grad_(False)  # as in the main job, on both sides
    return Work(
        prompts=prompts,
        siblings=siblings,
        looks=looks,
        tokens=tokens,
        view_size=view_size,
        samples=samples,
        policy=policy.eval(),
    )


def banned_ids(policy: VLMPolicy) -> list[int]:
    """What neither side may sample."""
    return (~policy.allowed_ids).nonzero().flatten().tolist()


class ForcedCalls:
    """Stands for TRL's parser of completions: the call of each turn is given, whatever was written.

    TRL parses the turns of an update episode by episode, then those of the episodes that go on.

    Args:
        looks: of each episode of an update.
    """

    def __init__(self, looks: Sequence[int]) -> None:
        self.looks = looks
        self.turns = 0
        self._round, self._due = 0, deque[int]()

    def __call__(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The message of the next turn in that order."""
        if not self._due:
            self._due.extend(number for number, looks in enumerate(self.looks) if looks >= self._round)
            if not self._due:
                self._round = 0
                self._due.extend(range(len(self.looks)))
            self._round += 1
        turn, episode = self._round - 1, self._due.popleft()
        self.turns += 1
        message: dict[str, Any] = {"role": "assistant", "content": "solid"}
        if turn < self.looks[episode]:
            call = {"name": "zoom", "arguments": {"bbox_2d": zoom_box(turn)}}
            message = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]}
        return message


class ImagePasses:
    """Counts the images that go through a vision tower.

    Args:
        tower: that is handed a grid per image.
    """

    def __init__(self, tower: nn.Module) -> None:
        self.images = 0
        self._handle = tower.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        grid = kwargs.get("grid_thw", args[1] if len(args) > 1 else None)
        self.images += len(grid)

    def close(self) -> None:
        """Count no more."""
        self._handle.remove()


def peak_rss_mb() -> float:
    """The most memory that this process has taken, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux


def own_copy(policy: VLMPolicy) -> VLMPolicy:
    """The weights that both sides begin with."""
    return copy.deepcopy(policy)
