"""Terms about what an episode wrote: repetition, what is paid only without it, length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from medvista.rewards.terms import accuracy, format, reward_term
from medvista.types import ToolCall, Trajectory

_WORDS = 4  # of a phrase that counts as repeated
# Share of an episode's phrases that were written before, and what it costs: the rungs are VISTA-R1's
# (arXiv 2511.19773), the shares are ours.
_LADDER = ((0.5, -3.0), (0.3, -2.0), (0.15, -1.5))


@reward_term
def repetition(trajectory: Trajectory) -> float:
    """-3, -2 or -1.5 the more of what was written had been written before, 0 where little was.

    A call that is made again with the same arguments costs -1.5, however different the words around it.
    """
    share = repeated_share(" ".join(turn.completion.text for turn in trajectory.turns))
    rung = next((cost for least, cost in _LADDER if share >= least), 0.0)
    return min(rung, -1.5) if _same_call_twice(trajectory) else rung


@reward_term
def gated_format(trajectory: Trajectory) -> float:
    """`format`, paid only where nothing is repeated."""
    return format(trajectory) if repetition(trajectory) == 0 else 0.0


@reward_term
def gated_accuracy(trajectory: Trajectory) -> float:
    """`accuracy`, paid only where the format is right and nothing is repeated."""
    return accuracy(trajectory) if gated_format(trajectory) else 0.0


@reward_term
def turn_cost(trajectory: Trajectory) -> float:
    """The number of turns; give it a negative weight."""
    return float(len(trajectory.turns))


@reward_term
def overlong(trajectory: Trajectory, *, limit: float, margin: float, count_tokens: Callable[[str], int]) -> float:
    """Soft over-long punishment: 0, then falling to -1 within a margin before a limit (DAPO, arXiv 2503.14476, eq. 13).

    Args:
        trajectory: of whose turns the tokens are counted.
        limit: tokens at which it is -1.
        margin: tokens before the limit at which it begins.
        count_tokens: of a text, as the policy's tokenizer writes it.
    """
    written = sum(count_tokens(turn.completion.text) for turn in trajectory.turns)
    return -min(1.0, max(0.0, (written - (limit - margin)) / max(margin, 1.0)))


def repeated_share(text: str) -> float:
    """Share of a text's phrases of four words that stand earlier in it, too.

    >>> repeated_share("is it left or right"), repeated_share("no no no no no")
    (0.0, 0.5)
    """
    words = text.split()
    phrases = Counter(tuple(words[i : i + _WORDS]) for i in range(len(words) - _WORDS + 1))
    return 1 - len(phrases) / phrases.total() if phrases else 0.0


def _same_call_twice(trajectory: Trajectory) -> bool:
    calls = [
        (turn.action.name, str(sorted(turn.action.arguments.items())))
        for turn in trajectory.turns
        if isinstance(turn.action, ToolCall)
    ]
    return len(set(calls)) < len(calls)
