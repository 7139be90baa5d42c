"""What a finished stage leaves in ``done.json``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What a finished stage cost."""

    seconds: float  # of training, validation included
    steps: int
    episodes: int = 0  # played to learn from
    generated_tokens: int = 0  # in those episodes
