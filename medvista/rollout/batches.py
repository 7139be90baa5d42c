"""Batches without a tensor, which Lightning moves as a whole: update requests, questions, finished episodes.

They are plain classes with a `to`, since Lightning cannot rebuild frozen dataclasses inside lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from medvista.types import Trajectory, VQASample


class TensorFreeBatch:
    """A batch with nothing in it that a device would hold."""

    __slots__ = ()

    def to(self, device: Any) -> Self:
        """The same batch."""
        return self


@dataclass(slots=True)
class UpdateRequest(TensorFreeBatch):
    """Asks for the experience of one update, which is played after Lightning's transfer."""

    update: int


@dataclass(slots=True)
class SampleBatch(TensorFreeBatch):
    """Questions on their way to a rollout."""

    samples: Sequence[VQASample]

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(slots=True)
class TrajectoryBatch(TensorFreeBatch):
    """Finished episodes of validation questions."""

    trajectories: Sequence[Trajectory]

    def __len__(self) -> int:
        return len(self.trajectories)
