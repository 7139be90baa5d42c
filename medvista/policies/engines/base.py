"""What generates the policy's turns: token ids in, token ids out, images alongside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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


class EngineWork(NamedTuple):
    """What an engine has computed since it was made."""

    fed_tokens: int  # that went through the model, padding not counted
    encoded_images: int  # that went through the vision tower
    distinct_images: int  # different ones that were shown, counted per rollout


class Engine(Protocol):
    """Generates the next turns of episodes, which join and leave while others' are generated.

    An engine says that it is one by inheriting from this class, and gets `generate`.
    """

    def submit(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> None:
        """Ask for the next turn of some episodes, of each once."""

    def poll(self, wait_s: float = 0.0) -> list[tuple[int, Completion]]:
        """Turns that are complete, with their episodes; often none.

        An engine that computes in this process goes on by at most one token per episode and does not wait.

        Args:
            wait_s: seconds to wait for a turn, in an engine that others compute for.
        """

    @property
    def busy(self) -> bool:
        """Whether a turn was asked for that has not been handed out."""

    def release(self, episodes: Sequence[int] | None = None) -> None:
        """Forget episodes that have ended, and free what was kept of them; None forgets all."""

    def update_weights(self, version: int) -> None:
        """Say that the policy's weights are others now; nothing computed with the old ones is used again.

        Args:
            version: optimiser steps behind the new weights.
        """

    def work(self) -> EngineWork | None:
        """What was computed so far; None in an engine that others compute for."""
        return None

    def generate(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> list[Completion]:
        """The next turn of each episode, in order, once all are complete."""
        done: dict[int, Completion] = {}
        self.submit(requests, params)
        while len(done) < len(requests):
            done |= dict(self.poll(wait_s=1.0))
        return [done[request.episode] for request in requests]
