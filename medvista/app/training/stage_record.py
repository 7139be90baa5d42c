"""What a finished stage leaves in ``done.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from medvista.errors import UserError


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What a finished stage cost."""

    seconds: float  # of training, validation included
    steps: int
    episodes: int = 0  # played to learn from
    generated_tokens: int = 0  # in those episodes


def read_record(path: Path) -> StageRecord:
    """What a finished stage has left.

    Raises:
        UserError: the file is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        record = StageRecord(**values)
        if not all(isinstance(value, int | float) for value in values.values()):
            raise TypeError
    except (OSError, ValueError, TypeError, RecursionError):
        raise UserError(f"{path} is damaged: delete it, and the stage goes on from its last checkpoint.") from None
    return record
