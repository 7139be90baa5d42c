"""What several samples of one question are worth: the majority's answer (pass@k is in `statistics`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import comb

from medvista.functional.options import chosen_option
from medvista.functional.spelling import normalise_answer, plain_characters
from medvista.functional.wrapping import bare_answer


def vote(prediction: str | None, choices: Sequence[str] = ()) -> Hashable:
    """What a prediction votes for: the option it names, or its words; None when it votes for nothing.

    Spellings that `exact_match` holds equal are one vote.

    >>> vote("The left lung."), vote("(B)", ["heart", "lung"]), vote("heart or lung", ["heart", "lung"])
    ('left lung', 1, None)
    """
    if prediction is None:
        return None
    if choices:
        return chosen_option(prediction, choices)
    return normalise_answer(bare_answer(plain_characters(prediction))) or None


def majority_at_k(votes: Sequence[Hashable], right: Sequence[bool], k: int) -> float:
    """Chance that the most frequent vote among `k` of the samples is right, exactly, ties broken by lot.

    Self-consistency (Wang et al. 2023, arXiv 2203.11171) averaged over all subsets of `k` of the `n` samples drawn, as
    pass@k is, so that it does not depend on their order. No answer is no vote: a subset of none is wrong.

    Args:
        votes: what each sample votes for, ``[n]`` (see `vote`).
        right: whether each sample is right, ``[n]``; equal votes are equally right.
        k: how many samples vote.

    Raises:
        ValueError: `k` is not between 1 and n, or `right` is not as long as `votes`.

    >>> majority_at_k(["left", "left", "right"], [True, True, False], k=3)
    1.0
    >>> round(majority_at_k(["left", "left", "right"], [True, True, False], k=2), 4)  # a third sure, two thirds a tie
    0.6667
    """
    n = len(votes)
    if len(right) != n or not 1 <= k <= n:
        raise ValueError(f"majority@k needs 1 <= k <= n and one label a vote, got k={k}, n={n}, {len(right)} labels")
    counts = Counter(vote for vote in votes if vote is not None)
    winners = {vote for vote, is_right in zip(votes, right, strict=True) if is_right and vote is not None}
    silent = n - counts.total()
    favourable = 0.0
    for winner in winners:
        others = [count for vote, count in counts.items() if vote != winner]
        for drawn in range(1, min(counts[winner], k) + 1):
            ties = _ways_with_ties(others, silent, k - drawn, at_most=drawn)
            favourable += comb(counts[winner], drawn) * sum(ways / (1 + tied) for tied, ways in ties.items())
    return favourable / comb(n, k)


def _ways_with_ties(counts: Sequence[int], silent: int, draw: int, *, at_most: int) -> dict[int, int]:
    """In how many ways `draw` samples leave no other vote above `at_most`, by how many votes reach it."""
    ways: Counter[tuple[int, int]] = Counter(
        {(taken, 0): comb(silent, taken) for taken in range(min(silent, draw) + 1)}
    )
    for count in counts:
        longer: Counter[tuple[int, int]] = Counter()
        for (taken, tied), number in ways.items():
            for more in range(min(count, at_most, draw - taken) + 1):
                longer[taken + more, tied + (more == at_most)] += number * comb(count, more)
        ways = longer
    return {tied: number for (taken, tied), number in ways.items() if taken == draw}
