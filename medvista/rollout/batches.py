"""Batches without a tensor, which Lightning moves as a whole: update requests, questions, finished episodes.

They are plain classes with a `to`, and no dataclasses: Lightning rebuilds those field by field to cast their tensors
(``precision=bf16-true``), and cannot rebuild the frozen ones inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from medvista.types import Trajectory, VQASample


class TensorFreeBatch:
    """A batch with nothing in it that a device would hold."""

    __slots__ = ()

    def to(self, device: Any) -> Self:
        """The same batch."""
        return self


class UpdateRequest(TensorFreeBatch):
    """Asks for the experience of one update, which is played after Lightning's transfer."""

    __slots__ = ("update",)

    def __init__(self, update: int) -> None:
        self.update = update


class SampleBatch(TensorFreeBatch):
    """Questions on their way to a rollout."""

    __slots__ = ("samples",)

    def __init__(self, samples: Sequence[VQASample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)


class TrajectoryBatch(TensorFreeBatch):
    """Finished episodes of validation questions, and of the same questions under other conditions.

    Args:
        trajectories: one per question.
        controls: by the name of the conditions, as many episodes in the same order.
    """

    __slots__ = ("controls", "trajectories")

    def __init__(
        self, trajectories: Sequence[Trajectory], controls: Mapping[str, Sequence[Trajectory]] | None = None
    ) -> None:
        self.trajectories = trajectories
        self.controls = dict(controls or {})

    def __len__(self) -> int:
        return len(self.trajectories)
