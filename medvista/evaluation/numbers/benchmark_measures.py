"""A benchmark's own measures of finished episodes, and what several samples of one question are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from medvista.evaluation.numbers.results import Measured
from medvista.functional.episodes import correct
from medvista.functional.slices import mean_with_interval
from medvista.functional.statistics import pass_at_k
from medvista.functional.voting import majority_at_k, vote
from medvista.metrics import BenchmarkScoring
from medvista.types import Trajectory


def measured(
    trajectories: Sequence[Trajectory], scoring: BenchmarkScoring, resamples: int = 2000
) -> dict[str, Measured]:
    """The mean of each measure over the questions it applies to, with its clustered interval.

    Args:
        trajectories: an arm's episodes on a benchmark.
        scoring: of the benchmark.
        resamples: of the intervals, which resample images.
    """
    samples = [trajectory.sample for trajectory in trajectories]
    scores = scoring.score([trajectory.answer for trajectory in trajectories], samples)
    found = {}
    for name, values in scores.items():
        applies = np.flatnonzero(~np.isnan(values))
        if len(applies):
            groups = [samples[index].group_id for index in applies]
            found[name] = mean_measured(values[applies].tolist(), groups, resamples)
    return found


def measured_at_k(trajectories: Iterable[Trajectory], ks: Iterable[int], resamples: int = 2000) -> dict[str, Measured]:
    """``pass@k`` and ``majority@k`` over questions that were sampled several times, with clustered intervals.

    Args:
        trajectories: episodes in any order; those of one question are its samples.
        ks: how many samples count; a `k` above what any question has is left out.
        resamples: of the intervals.
    """
    questions: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        questions.setdefault(trajectory.sample.id, []).append(trajectory)
    groups = [own[0].sample.group_id for own in questions.values()]
    fewest = min(map(len, questions.values()), default=0)
    found = {}
    for k in (k for k in dict.fromkeys(ks) if k <= fewest):
        for name, score in _AT_K.items():
            found[f"{name}@{k}"] = mean_measured([score(own, k) for own in questions.values()], groups, resamples)
    return found


def _pass(samples: Sequence[Trajectory], k: int) -> float:
    return pass_at_k(len(samples), sum(map(correct, samples)), k)


def _majority(samples: Sequence[Trajectory], k: int) -> float:
    choices = samples[0].sample.choices
    return majority_at_k([vote(t.answer, choices) for t in samples], [correct(t) for t in samples], k)


_AT_K: Mapping[str, Callable[[Sequence[Trajectory], int], float]] = {"pass": _pass, "majority": _majority}


def mean_measured(scores: Sequence[float], groups: Sequence[str], resamples: int) -> Measured:
    """The mean of some questions' scores, with its clustered interval."""
    cut = mean_with_interval(scores, groups, resamples=resamples)
    return Measured(n=cut.n, mean=cut.mean, ci95=(cut.low, cut.high))
