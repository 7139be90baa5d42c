"""The rows of an optimiser step, in parts small enough for the memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from medvista.ranks import gathered
from medvista.rollout.experience import TokenBatch

Rows = TypeVar("Rows", bound=TokenBatch)


def micro_batches(batch: Rows, tokens: int, *, most_rows: int | None = None) -> list[Rows]:
    """Splits the rows of this process; every process gets as many parts, since a strategy may gather in each.

    A process that needs fewer parts than another takes some that carry no loss. A collective step.

    Args:
        batch: this process's rows of the step.
        tokens: padded tokens of a part at most, see `rows_by_length`; 0 leaves the rows together.
        most_rows: of a part; None: as many as fit.
    """
    lengths = batch.attention_mask.sum(dim=1).tolist()
    shares = rows_by_length(lengths, tokens, most_rows) if tokens or most_rows else [list(range(len(batch)))]
    wanted = max(gathered(len(shares)))
    if wanted == 1:
        return [batch]
    shortest = shares[-1][-1]
    idle = [batch.select([shortest]).without_loss() for _ in range(wanted - len(shares))]
    return [batch.select(share) for share in shares] + idle


def rows_by_length(lengths: Sequence[int], tokens: int, most_rows: int | None = None) -> list[list[int]]:
    """Rows in parts whose padded size, rows times the longest, is within a budget; the longest row comes first.

    Rows of similar length stand together, so that little is padding. What does not fit runs out of memory in the first
    part rather than in the last. A row that is longer than the budget stands alone.

    Args:
        lengths: tokens of each row.
        tokens: the budget; 0: none.
        most_rows: of a part; None: as many as fit.

    >>> rows_by_length([10, 30, 12, 31], 62)
    [[3, 1], [2, 0]]
    >>> rows_by_length([10, 100, 12], 62)
    [[1], [2, 0]]
    """
    parts: list[list[int]] = []
    room = 0  # rows that the last part may still take
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not room:
            fitting = max(1, tokens // lengths[row]) if tokens else len(lengths)
            room = min(fitting, most_rows or fitting)
            parts.append([])
        parts[-1].append(row)
        room -= 1
    return parts
