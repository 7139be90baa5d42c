"""The rows of an optimiser step, in parts small enough for the memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from medvista.policies.shared_prompts import Prompt
from medvista.ranks import gathered
from medvista.rollout.experience import TokenBatch

Rows = TypeVar("Rows", bound=TokenBatch)


def micro_batches(
    batch: Rows,
    tokens: int,
    *,
    most_rows: int | None = None,
    prompts: Sequence[Prompt] | None = None,
    packed: bool = False,
) -> list[Rows]:
    """Splits the rows of this process; every process gets as many parts, since a strategy may gather in each.

    A process that needs fewer parts than another takes some that carry no loss. A collective step.

    Args:
        batch: this process's rows of the step.
        tokens: padded tokens of a part at most, see `rows_by_length`; 0 leaves the rows together.
        most_rows: of a part; None: as many as fit.
        prompts: of the rows, where those that several share are computed once: then see `rows_by_prompt`.
        packed: the rows of a part stand in one, without padding, so that `tokens` are those of `rows_by_sum`.
    """
    lengths = batch.attention_mask.sum(dim=1).tolist()
    if packed:
        shares = rows_by_sum(lengths, tokens)
    elif not tokens and not most_rows:
        shares = [list(range(len(batch)))]
    elif prompts is None:
        shares = rows_by_length(lengths, tokens, most_rows)
    else:
        shares = rows_by_prompt(lengths, prompts, tokens, most_rows)
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


def rows_by_prompt(
    lengths: Sequence[int], prompts: Sequence[Prompt], tokens: int, most_rows: int | None = None
) -> list[list[int]]:
    """Rows in parts whose tokens, a prompt counted once in each part, are within a budget; the longest prompt first.

    Rows that share a prompt stay in one part where all of them fit into one. The keys and values of a prompt, of which
    each row has a copy to look at, are not counted.

    Args:
        lengths: tokens of each row.
        prompts: what each row begins with.
        tokens: the budget; 0: none.
        most_rows: of a part; None: as many as fit.

    >>> prompts = [Prompt(0, 20, 0), Prompt(1, 9, 0), Prompt(0, 20, 0), Prompt(1, 9, 0)]
    >>> rows_by_prompt([30, 12, 31, 10], prompts, 45)
    [[2, 0], [1, 3]]
    >>> rows_by_prompt([30, 12, 31, 10], prompts, 55)
    [[2, 0, 1, 3]]
    """
    budget, places = tokens or sum(lengths), most_rows or len(lengths)
    parts: list[list[int]] = []
    used = budget  # tokens of the last part
    for rows in _by_prompt(lengths, prompts):
        shared = prompts[rows[0]].tokens
        own = [lengths[row] - shared for row in rows]
        paid = False  # for the prompt, in the last part
        if not parts or used + shared + sum(own) > budget >= shared + sum(own):
            parts, used = [*parts, []], 0
        for row, more in zip(rows, own, strict=True):
            if parts[-1] and (used + more + shared * (not paid) > budget or len(parts[-1]) == places):
                parts, used, paid = [*parts, []], 0, False
            parts[-1].append(row)
            used, paid = used + more + shared * (not paid), True
    return parts


def _by_prompt(lengths: Sequence[int], prompts: Sequence[Prompt]) -> list[list[int]]:
    """Rows of each prompt, those with the longest row first."""
    found: dict[int, list[int]] = {}
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        found.setdefault(prompts[row].number, []).append(row)
    return list(found.values())


def rows_by_sum(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Rows in parts of at most so many tokens together, each row in the first part with room, the longest row first.

    First fit decreasing: at most 11/9 of the fewest parts possible, and one (Johnson 1973). A row that is longer than
    `tokens` stands alone.

    >>> rows_by_sum([10, 30, 12, 31], 42)
    [[3, 0], [1, 2]]
    """
    parts: list[list[int]] = []
    room: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        place = next((part for part, left in enumerate(room) if lengths[row] <= left), len(parts))
        if place == len(parts):
            parts.append([])
            room.append(tokens)
        parts[place].append(row)
        room[place] -= lengths[row]
    return parts
