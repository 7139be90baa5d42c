"""Whether a policy knows when it is wrong: calibration, selective answering, abstention.

Throughout, `confidences` holds one probability per question, 0 where no answer was given; `correct`, if it was right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from medvista.types import FinalAnswer, Trajectory

_OPEN, _CLOSE = "<answer>", "</answer>"
Floats = NDArray[np.float64]


class AnswerLogProb(NamedTuple):
    """Log-probability of an answer's tokens, the one that closes it included."""

    total: float
    tokens: int

    @property
    def probability(self) -> float:
        """The chance of exactly this answer, given the turn up to it."""
        return exp(self.total)

    @property
    def per_token(self) -> float:
        """The geometric mean over tokens, which does not punish long answers."""
        return exp(self.total / self.tokens)


class Bin(NamedTuple):
    """The questions whose confidence lies in one interval."""

    n: int
    confidence: float  # mean
    accuracy: float


class RiskCoverage(NamedTuple):
    """Share of wrong answers among the most confident ones, for every number of questions answered."""

    coverage: Floats  # [N], 1/N ... 1
    risk: Floats  # [N]

    @property
    def area(self) -> float:
        """AURC: the mean risk over all coverages; lower is better."""
        return float(self.risk.mean())


class Abstention(NamedTuple):
    """How often an answer was given, and how often a given one was right."""

    coverage: float
    accuracy_when_answered: float | None  # None when nothing was answered


def answer_log_prob(trajectory: Trajectory, decode: Callable[[Sequence[int]], str]) -> AnswerLogProb | None:
    """Log-probability of the final answer, from the log-probabilities of the last turn's sampled tokens.

    Tokens count that hold a character of the answer, and the one that begins the closing tag: without it "left" would
    be at least as likely as "left lung". The thought before the answer is given, so the probability is that of the
    answer after this thought. Log-probabilities are those of the sampling distribution; greedy decoding keeps those at
    temperature 1.

    Args:
        trajectory: a finished episode whose last turn carries its tokens.
        decode: token ids to text, special tokens kept (``partial(tokenizer.decode, skip_special_tokens=False)``).

    Returns:
        None when no answer was given or the tokens were not kept.
    """
    if not trajectory.turns or not isinstance(trajectory.turns[-1].action, FinalAnswer):
        return None
    completion = trajectory.turns[-1].completion
    text = decode(completion.token_ids)
    start, end = text.rfind(_OPEN) + len(_OPEN), text.rfind(_CLOSE)
    if end < start or len(completion.log_probs) != len(completion.token_ids):
        return None
    # The token that holds a character is the last one before which fewer characters were written.
    first, last = (_token_at(place, completion.token_ids, decode) for place in (start, end))
    log_probs = completion.log_probs[first : last + 1]
    return AnswerLogProb(total=sum(log_probs), tokens=len(log_probs))


def calibration_bins(confidences: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> list[Bin | None]:
    """The reliability diagram: equal intervals ``((i - 1) / bins, i / bins]``, None for an empty one."""
    confidence_N, correct_N = _checked(confidences, correct)
    index_N = np.clip(np.ceil(confidence_N * bins).astype(int) - 1, 0, bins - 1)
    members = [index_N == index for index in range(bins)]
    return [
        Bin(int(inside.sum()), float(confidence_N[inside].mean()), float(correct_N[inside].mean()))
        if inside.any()
        else None
        for inside in members
    ]


def expected_calibration_error(confidences: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over bins, weighted by their questions (Guo 2017, arXiv 1706.04599).

    >>> round(expected_calibration_error([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0]), 3)
    0.1
    """
    found = [b for b in calibration_bins(confidences, correct, bins=bins) if b is not None]
    return sum(b.n * abs(b.accuracy - b.confidence) for b in found) / sum(b.n for b in found)


def brier_score(confidences: ArrayLike, correct: ArrayLike) -> float:
    """Mean squared gap between confidence and outcome (Brier 1950, Monthly Weather Review 78:1)."""
    confidence_N, correct_N = _checked(confidences, correct)
    return float(np.square(confidence_N - correct_N).mean())


def confidence_auroc(confidences: ArrayLike, correct: ArrayLike) -> float | None:
    """Chance that a right answer is more confident than a wrong one, ties half; None when one kind is missing."""
    confidence_N, correct_N = _checked(confidences, correct)
    right, wrong = float(correct_N.sum()), float((1 - correct_N).sum())
    if not right or not wrong:
        return None
    ranks_N = stats.rankdata(confidence_N)
    return float((ranks_N @ correct_N - right * (right + 1) / 2) / (right * wrong))


def risk_coverage(confidences: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """The risk-coverage curve (El-Yaniv and Wiener 2010, JMLR 11:1605; AURC after Geifman 2019, arXiv 1805.08206).

    Among equal confidences the order is drawn by lot, and the expectation over that lot is what is given, so the curve
    does not depend on the order of the questions.

    >>> risk_coverage([0.9, 0.8, 0.7], [1, 0, 1]).risk.round(3).tolist()
    [0.0, 0.5, 0.333]
    """
    confidence_N, correct_N = _checked(confidences, correct)
    _, block_N, size_B = np.unique(-confidence_N, return_inverse=True, return_counts=True)
    errors_B = np.bincount(block_N, weights=1 - correct_N, minlength=len(size_B))
    expected_N = np.repeat(errors_B / size_B, size_B)  # of each place in the order of confidence
    answered_N = np.arange(1, len(confidence_N) + 1)
    return RiskCoverage(answered_N / len(confidence_N), np.cumsum(expected_N) / answered_N)


def accuracy_at_coverage(confidences: ArrayLike, correct: ArrayLike, coverage: float) -> float:
    """Accuracy on the most confident share of the questions (at least one question).

    Raises:
        ValueError: `coverage` is not in ``(0, 1]``.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage}")
    curve = risk_coverage(confidences, correct)
    return 1 - float(curve.risk[max(1, round(coverage * len(curve.risk))) - 1])


def abstention(answered: ArrayLike, correct: ArrayLike) -> Abstention:
    """Coverage and accuracy of a policy that may give no answer."""
    answered_N, correct_N = _checked(answered, correct)
    given = float(answered_N.sum())
    return Abstention(given / len(answered_N), float(answered_N @ correct_N) / given if given else None)


def calibration_summary(confidences: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> dict[str, float]:
    """The numbers of a table: ``ece``, ``brier``, ``auroc``, ``aurc``, ``aurc_excess``, ``accuracy_at_80``.

    ``aurc_excess`` is the area above that of a policy that is as often right and ranks its answers perfectly.
    """
    area = risk_coverage(confidences, correct).area
    found = {
        "ece": expected_calibration_error(confidences, correct, bins=bins),
        "brier": brier_score(confidences, correct),
        "auroc": confidence_auroc(confidences, correct),
        "aurc": area,
        "aurc_excess": area - risk_coverage(correct, correct).area,
        "accuracy_at_80": accuracy_at_coverage(confidences, correct, 0.8),
    }
    return {name: value for name, value in found.items() if value is not None}


def _token_at(place: int, token_ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> int:
    """Index of the token that holds the character at `place` of the decoded text."""
    low, high = 0, len(token_ids) - 1
    while low < high:  # the text of a prefix only grows with it
        middle = (low + high) // 2
        if len(decode(token_ids[: middle + 1])) > place:
            high = middle
        else:
            low = middle + 1
    return low


def _checked(confidences: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"need one confidence and one outcome a question, got shapes {first.shape} and {second.shape}")
    if not ((first >= 0) & (first <= 1)).all():  # NaN fails too
        raise ValueError("confidences must be probabilities between 0 and 1; give 0 where there was no answer")
    return first, second
