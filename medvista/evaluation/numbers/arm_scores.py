"""Episodes -> the numbers of one arm on one benchmark, and paired tests between arms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from medvista.evaluation.numbers.benchmark_measures import measured
from medvista.evaluation.numbers.benchmark_scoring import benchmark_scoring
from medvista.evaluation.numbers.process import process_measures
from medvista.evaluation.numbers.results import ArmScore, Comparison, Mode, Score
from medvista.functional.calibration import abstention, answer_log_prob, calibration_summary
from medvista.functional.episodes import correct, summarise
from medvista.functional.slices import Slice, mean_with_interval, slices
from medvista.functional.statistics import (
    mcnemar_exact,
    paired_bootstrap_difference,
    paired_permutation_test,
)
from medvista.types import Trajectory

Decode = Callable[[Sequence[int]], str]  # token ids -> text, special tokens kept

_USE = ("tool_calls_mean", "tool_error_rate", "answered_rate", "tokens_mean", "hit_rate")
_DIGITS = 4  # of numbers made from log-probabilities, which batching moves in their last places


def arm_score(trajectories: Sequence[Trajectory], resamples: int = 2000, decode: Decode | None = None) -> ArmScore:
    """Accuracy with its interval, over all questions and by slice; the benchmark's own measures; how tools were used.

    Args:
        trajectories: an arm's episodes on a whole benchmark.
        resamples: of the intervals, which resample images.
        decode: of the policy's tokenizer, for calibration; None leaves that out.
    """
    samples = [trajectory.sample for trajectory in trajectories]
    right = np.array([correct(trajectory) for trajectory in trajectories], dtype=float)
    groups = [sample.group_id for sample in samples]
    overall = mean_with_interval(right, groups, resamples=resamples)
    answered = [trajectory.answer is not None for trajectory in trajectories]
    cuts = slices(right, samples, resamples=resamples)
    return ArmScore(
        n=overall.n,
        accuracy=overall.mean,
        ci95=(overall.low, overall.high),
        families=_families(trajectories, resamples),
        accuracy_answered=abstention(answered, right).accuracy_when_answered,
        measures=measured(trajectories, benchmark_scoring(samples[0].benchmark), resamples)
        | process_measures(trajectories, resamples),
        slices={name: {label: _score(cut) for label, cut in labels.items()} for name, labels in cuts.items()},
        calibration=_calibration(trajectories, right, decode) if decode is not None else {},
        **tool_use(trajectories),  # type: ignore[arg-type]
    )


def tool_use(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """How often tools were called, failed and met the evidence, under the names that `ArmScore` has for it."""
    rates = summarise(trajectories)
    return {name: rates[name] for name in _USE if name in rates}


def compare(
    ours: Sequence[Trajectory],
    theirs: Sequence[Trajectory],
    *,
    benchmark: str,
    arm: str,
    baseline: str,
    mode: Mode,
    families: Collection[str] = (),
    resamples: int = 2000,
) -> Comparison | None:
    """The paired test of two arms on the same questions, not yet corrected; None where no question is of the families.

    Args:
        ours: episodes of `arm`.
        theirs: episodes of `baseline`, on the same questions in the same order.
        benchmark, arm, baseline, mode: of the episodes.
        families: the families it is restricted to; none: all questions.
        resamples: of the interval.
    """
    pairs = [
        (correct(a), correct(b), a.sample.group_id)
        for a, b in zip(ours, theirs, strict=True)
        if not families or a.sample.metadata["family"] in families
    ]
    if not pairs:
        return None
    a, b, clusters = (list(column) for column in zip(*pairs, strict=True))
    difference = paired_bootstrap_difference(a, b, clusters, resamples=resamples)
    return Comparison(
        benchmark=benchmark,
        arm=arm,
        baseline=baseline,
        mode=mode,
        difference=difference.difference,
        ci95=(difference.low, difference.high),
        p_value=paired_permutation_test(a, b, clusters),
        p_mcnemar=mcnemar_exact(a, b),
        n=len(pairs),
        test="clustered_permutation",
        families=tuple(families),
    )


def _families(trajectories: Sequence[Trajectory], resamples: int) -> dict[str, Score]:
    members: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        members.setdefault(str(trajectory.sample.metadata.get("family", "all")), []).append(trajectory)
    return {
        family: _score(
            mean_with_interval([correct(t) for t in own], [t.sample.group_id for t in own], resamples=resamples)
        )
        for family, own in members.items()
    }


def _calibration(trajectories: Sequence[Trajectory], right: np.ndarray, decode: Decode) -> Mapping[str, float]:
    """Whether the answers' probabilities say how often they are right; nothing where no token was kept."""
    found = [answer_log_prob(trajectory, decode) for trajectory in trajectories]
    if not any(found):
        return {}
    confidences = [min(answer.probability, 1.0) if answer else 0.0 for answer in found]
    return {name: round(value, _DIGITS) for name, value in calibration_summary(confidences, right).items()}


def _score(cut: Slice) -> Score:
    return Score(n=cut.n, accuracy=cut.mean, ci95=(cut.low, cut.high))
