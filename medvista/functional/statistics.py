"""Intervals and tests for evaluations: questions about one image are not independent, so images are resampled.

Throughout, `values` holds one score per question (0 or 1 for accuracy) and `clusters` one label per question (the
sample's ``group_id``). Every random procedure takes a seed and gives the same numbers again.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import comb, sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats: TypeAlias = NDArray[np.float64]
_BLOCK = 2_000_000  # numbers drawn at a time, so that memory stays flat for large benchmarks


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """A paired difference of means, ``a - b``, with its interval."""

    difference: float
    low: float
    high: float


def bootstrap_ci(
    values: ArrayLike, clusters: Sequence[Hashable], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of the mean, from a bootstrap that resamples whole clusters.

    Each resample draws as many clusters as there are and takes the mean over their questions, a ratio of sums
    (Davison and Hinkley 1997, Bootstrap Methods and their Application).

    Args:
        values: one score per question, ``[N]``.
        clusters: what is independent of other clusters (image, case or patient), ``[N]``.
        confidence: coverage aimed at.
        resamples: how many draws of the clusters.
        seed: of the draws.

    Raises:
        ValueError: without values, or without exactly one cluster per value.

    >>> bootstrap_ci([1, 1, 1, 1], ["a", "a", "b", "c"])
    Interval(low=1.0, high=1.0)
    """
    sums_CK, sizes_C = _cluster_sums(_columns(values), clusters)
    return _percentiles(_resampled_means(sums_CK, sizes_C, resamples, np.random.default_rng(seed))[:, 0], confidence)


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion of *independent* trials (Wilson 1927, JASA 22:209).

    >>> tuple(round(bound, 4) for bound in wilson_interval(8, 10))
    (0.4902, 0.9433)
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"successes must lie in 0..n with n > 0, got {successes} of {n}")
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def paired_bootstrap_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Mean of ``a - b`` on the same questions, with its clustered percentile interval (see `bootstrap_ci`)."""
    gap = _paired_gap(a, b)
    low, high = bootstrap_ci(gap, clusters, confidence=confidence, resamples=resamples, seed=seed)
    return Difference(float(gap.mean()), low, high)


def hierarchical_bootstrap_mean(
    values: ArrayLike, clusters: Sequence[Hashable], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Interval of the mean over training seeds and questions, ``[S, N]``: see `hierarchical_bootstrap_difference`."""
    values_SN = np.asarray(values, dtype=np.float64)
    found = hierarchical_bootstrap_difference(
        values_SN, np.zeros_like(values_SN), clusters, confidence=confidence, resamples=resamples, seed=seed
    )
    return Interval(found.low, found.high)


def hierarchical_bootstrap_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Mean of ``a - b`` over training seeds and questions, with an interval over *both*.

    Each resample draws seeds with replacement and, apart from that, images with replacement; seed ``s`` of both arms is
    drawn together (they share a cold start) and one draw of images serves all seeds and both arms (they answer the same
    questions). That is the two-way bootstrap of crossed factors (Owen 2007, Annals of Applied Statistics 1:386, "the
    pigeonhole bootstrap"), which is conservative. With few seeds percentile intervals are short: show every seed too.

    Args:
        a: scores of one arm, ``[S, N]`` (training seed, question).
        b: scores of the other arm, ``[S, N]``.
        clusters: image of each question, ``[N]``.
        confidence: coverage aimed at.
        resamples: how many draws of seeds and images.
        seed: of the draws.
    """
    gap_SN = _paired_gap(a, b)
    if gap_SN.ndim != 2:
        raise ValueError(f"a and b must be [seeds, questions], got shape {gap_SN.shape}")
    rng = np.random.default_rng(seed)
    sums_CS, sizes_C = _cluster_sums(gap_SN.T, clusters)
    means_RS = _resampled_means(sums_CS, sizes_C, resamples, rng)  # every seed under each draw of images
    seeds = gap_SN.shape[0]
    drawn_RS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    low, high = _percentiles((means_RS * drawn_RS).sum(axis=1) / seeds, confidence)
    return Difference(float(gap_SN.mean()), low, high)


def mcnemar_exact(a: Sequence[bool] | NDArray[np.bool_], b: Sequence[bool] | NDArray[np.bool_]) -> float:
    """Two-sided exact p-value that two arms are right equally often on the same *independent* questions.

    A binomial test on the questions that only one arm got right (McNemar 1947, Psychometrika 12:153). Questions about
    one image are not independent: report `paired_permutation_test` beside it.
    """
    right_a, right_b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    _same_shape(right_a, right_b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def paired_permutation_test(
    a: ArrayLike, b: ArrayLike, clusters: Sequence[Hashable], *, permutations: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p-value of the mean of ``a - b`` under flips of the sign of whole clusters.

    Under the null hypothesis the two arms are exchangeable within a cluster. Monte Carlo, with the observed statistic
    counted as one of the permutations, so that p is never 0 (Phipson and Smyth 2010, SAGMB 9:39).
    """
    sums_CK, _ = _cluster_sums(_columns(_paired_gap(a, b)), clusters)
    sums_C = sums_CK[:, 0]
    rng = np.random.default_rng(seed)
    observed = abs(sums_C.sum()) - 1e-9 * max(1.0, np.abs(sums_C).sum())  # equal sums must count as equal
    extreme = 0
    for size in _blocks(permutations, len(sums_C)):
        signs = rng.integers(0, 2, size=(size, len(sums_C)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ sums_C) >= observed).sum())
    return (extreme + 1) / (permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for several tests at once, in the order given (Holm 1979, Scand. J. Statistics 6:65).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted.tolist()


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased chance that at least one of `k` samples is right, from `correct` right ones among `n`.

    Chen et al. 2021, arXiv 2107.03374, eq. 1.

    >>> pass_at_k(n=4, correct=1, k=2)
    0.5
    """
    if not 0 <= correct <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= correct <= n and 1 <= k <= n, got n={n}, correct={correct}, k={k}")
    return 1.0 - comb(n - correct, k) / comb(n, k)


def _columns(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)


def _paired_gap(a: ArrayLike, b: ArrayLike) -> Floats:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    _same_shape(first, second)
    return first - second


def _same_shape(a: NDArray, b: NDArray) -> None:
    if a.shape != b.shape:
        raise ValueError(f"paired statistics need the same questions in both arms, got shapes {a.shape} and {b.shape}")


def _cluster_sums(values_NK: Floats, clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sum of each column within each cluster ``[C, K]``, and the clusters' sizes ``[C]``."""
    if len(values_NK) != len(clusters) or len(clusters) == 0:
        raise ValueError(f"need one cluster a value and at least one value, got {len(values_NK)} and {len(clusters)}")
    number = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    index_N = np.array([number[cluster] for cluster in clusters])
    sums_CK = np.zeros((len(number), values_NK.shape[1]))
    np.add.at(sums_CK, index_N, values_NK)
    return sums_CK, np.bincount(index_N).astype(np.float64)


def _resampled_means(sums_CK: Floats, sizes_C: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Means of each column under resamples of the clusters, ``[R, K]``."""
    count = len(sizes_C)
    uniform = np.full(count, 1 / count)
    # Drawing clusters with replacement is the same as drawing how often each one occurs.
    parts = (rng.multinomial(count, uniform, size=size).astype(np.float64) for size in _blocks(resamples, count))
    return np.concatenate([(drawn_RC @ sums_CK) / (drawn_RC @ sizes_C)[:, None] for drawn_RC in parts])


def _blocks(rows: int, width: int) -> list[int]:
    """Row counts that add up to `rows`, each small enough to hold `width` numbers per row in memory."""
    size = max(1, _BLOCK // width)
    return [min(size, rows - start) for start in range(0, rows, size)]


def _percentiles(estimates: Floats, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(estimates, [tail, 1 - tail])
    return Interval(float(low), float(high))
