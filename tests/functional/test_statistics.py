"""Intervals and tests agree with reference implementations and with numbers worked out by hand."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from medvista.functional.statistics import (
    bootstrap_ci,
    hierarchical_bootstrap_difference,
    holm,
    mcnemar_exact,
    paired_bootstrap_difference,
    paired_permutation_test,
    pass_at_k,
    wilson_interval,
)


def scores(n: int, p: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < p).astype(float)


def test_the_bootstrap_of_unclustered_values_agrees_with_scipy() -> None:
    values = scores(300, 0.7)
    ours = bootstrap_ci(values, range(300), resamples=8000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=8000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_the_clustered_interval_of_identical_siblings_is_that_of_the_clusters() -> None:
    per_image = scores(60, 0.5)
    assert bootstrap_ci(np.repeat(per_image, 5), np.repeat(np.arange(60), 5)) == bootstrap_ci(per_image, range(60))


def test_clustering_widens_the_interval_when_an_image_decides_its_questions() -> None:
    values = np.repeat(scores(60, 0.5), 5)
    clustered = bootstrap_ci(values, np.repeat(np.arange(60), 5))
    naive = bootstrap_ci(values, range(300))
    assert (clustered.high - clustered.low) / (naive.high - naive.low) == pytest.approx(np.sqrt(5), rel=0.1)


def test_clusters_of_different_size_give_a_ratio_of_sums() -> None:
    # Two clusters, means 1 (three questions) and 0 (one): the four draws give 1, 3/4, 3/4, 0.
    interval = bootstrap_ci([1, 1, 1, 0], ["a", "a", "a", "b"], confidence=0.4)
    assert interval == (0.75, 0.75)
    assert bootstrap_ci([1, 1, 1, 0], ["a", "a", "a", "b"], confidence=0.98) == (0.0, 1.0)


def test_the_clustered_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(50), 4)
    hits = 0
    for trial in range(200):
        values = rng.random(200) < np.repeat(rng.beta(2, 2, size=50), 4)  # mean 0.5, correlated within an image
        low, high = bootstrap_ci(values, clusters, resamples=400, seed=trial)
        hits += low <= 0.5 <= high
    assert 0.89 <= hits / 200 <= 0.98


def test_the_kind_of_cluster_label_does_not_matter_and_a_seed_repeats() -> None:
    values, images = np.random.default_rng(0).random(90), [f"image{i // 3}" for i in range(90)]
    assert bootstrap_ci(values, images) == bootstrap_ci(values, [int(name[5:]) for name in images])
    assert bootstrap_ci(values, images, seed=3) == bootstrap_ci(values, images, seed=3)
    assert bootstrap_ci(values, images, seed=3) != bootstrap_ci(values, images, seed=4)


def test_memory_blocks_do_not_lose_or_repeat_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    values = scores(40, 0.5)
    whole = bootstrap_ci(values, range(40), resamples=500), paired_permutation_test(values, 1 - values, range(40))
    monkeypatch.setattr("medvista.functional.statistics._BLOCK", 40 * 7)
    assert whole[0] == bootstrap_ci(values, range(40), resamples=500)
    assert whole[1] == pytest.approx(paired_permutation_test(values, 1 - values, range(40)), abs=0.02)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (8, 10), (300, 512)])
def test_the_wilson_interval_agrees_with_statsmodels(successes: int, n: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    assert wilson_interval(successes, n) == pytest.approx(proportion.proportion_confint(successes, n, method="wilson"))


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_agrees_with_statsmodels(seed: int) -> None:
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
    a, b = scores(80, 0.7, seed).astype(bool), scores(80, 0.55, seed + 100).astype(bool)
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    assert mcnemar_exact(a, b) == pytest.approx(contingency.mcnemar(table, exact=True).pvalue)


def test_arms_that_never_disagree_are_not_different() -> None:
    assert mcnemar_exact([True, False], [True, False]) == 1.0
    assert paired_permutation_test([1, 0], [1, 0], ["a", "b"]) == 1.0


def test_the_permutation_test_approaches_the_exact_one_over_all_sign_flips() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(8), 3)
    a, b = rng.random(24) + 0.15, rng.random(24)
    sums = (a - b).reshape(8, 3).sum(axis=1)
    flips = np.array(list(product([-1, 1], repeat=8))) @ sums
    exact = np.mean(np.abs(flips) >= abs(sums.sum()) - 1e-9)
    assert paired_permutation_test(a, b, clusters, permutations=20_000) == pytest.approx(exact, abs=0.01)


def test_the_permutation_p_value_is_never_zero() -> None:
    assert paired_permutation_test(np.ones(50), np.zeros(50), range(50), permutations=999) == 1 / 1000


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03], [0.5, 0.9, 0.001, 0.02], [0.2], [0.02, 0.02, 0.02]])
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(p_values) == pytest.approx(list(multitest.multipletests(p_values, method="holm")[1]))


def test_a_paired_difference_knows_that_the_arms_share_their_questions() -> None:
    b = scores(200, 0.5)
    a = b.copy()
    a[np.flatnonzero(b == 0)[:20]] = 1  # right wherever b is, and on 20 questions more
    difference, low, high = paired_bootstrap_difference(a, b, range(200))
    assert difference == pytest.approx(0.1)
    assert (low, high) == pytest.approx((0.06, 0.14), abs=0.006)  # 0.1 -+ 1.96 sqrt(0.1 * 0.9 / 200)


def test_one_seed_gives_the_interval_over_images_alone() -> None:
    a, b = scores(120, 0.8, 1), scores(120, 0.5, 2)
    images = np.arange(120) // 2
    assert hierarchical_bootstrap_difference(a[None], b[None], images) == paired_bootstrap_difference(a, b, images)


def test_seeds_that_disagree_widen_the_interval() -> None:
    b = np.zeros((5, 200))
    steady = np.tile(scores(200, 0.5), (5, 1))
    unsteady = np.stack([np.full(200, share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)])
    low, high = hierarchical_bootstrap_difference(steady, b, range(200))[1:]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 200), rel=0.1)
    difference, low, high = hierarchical_bootstrap_difference(unsteady, b, range(200))
    assert difference == pytest.approx(0.5)
    # The five shares have variance 0.08, so the mean of five drawn seeds has standard deviation sqrt(0.08 / 5).
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.08 / 5), rel=0.1)


@pytest.mark.parametrize(
    ("n", "correct", "k", "expected"), [(10, 0, 5, 0.0), (10, 10, 1, 1.0), (10, 3, 1, 0.3), (5, 2, 4, 1.0)]
)
def test_pass_at_k_by_hand(n: int, correct: int, k: int, expected: float) -> None:
    assert pass_at_k(n, correct, k) == pytest.approx(expected)


def test_statistics_refuse_arms_on_different_questions() -> None:
    with pytest.raises(ValueError, match="same questions"):
        paired_bootstrap_difference([1, 0], [1], ["a", "b"])
    with pytest.raises(ValueError, match="one cluster a value"):
        bootstrap_ci([1, 0, 1], ["a", "b"])
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_ci([], [])
