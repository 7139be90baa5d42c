"""Batches that Lightning moves as a whole (it cannot rebuild frozen dataclasses inside lists)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medvista.types import VQASample


@dataclass(slots=True)
class SampleBatch:
    """Questions on their way to a rollout."""

    samples: Sequence[VQASample]

    def to(self, device: Any) -> SampleBatch:
        """The same batch: there is no tensor in it yet."""
        return self

    def __len__(self) -> int:
        return len(self.samples)
