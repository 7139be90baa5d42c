"""What generates the policy's turns: token ids in, token ids out, images alongside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from medvista.types import Completion, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How tokens are drawn."""

    max_new_tokens: int = 64  # of one turn
    temperature: float = 1.0  # 0 is greedy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GenerationRequest:
    """One episode that waits for the model's next turn."""

    episode: int  # names the episode within a rollout, so that an engine can keep its key-value cache
    trajectory: Trajectory  # the episode so far; its stream holds all tokens
    seed: tuple[int, ...]  # of this turn's draws; independent of who else is in the batch


class Engine(Protocol):
    """Generates the next turn of every waiting episode."""

    def generate(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> list[Completion]:
        """One completion per request, in order."""

    def release(self) -> None:
        """Forget all episodes and free their caches."""
