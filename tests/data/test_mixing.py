"""Benchmarks get the shares that were set, to within one question, and go through their own before they repeat any."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvista.data.mixing import MixedSampler, Mixture
from medvista.errors import UserError

BENCHMARKS = ["vqa_rad"] * 3 + ["slake"] * 10


def mixed(seed: int = 0) -> MixedSampler:
    return MixedSampler(BENCHMARKS, {"vqa_rad": 2, "slake": 1}, seed=seed)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 500))
def test_after_any_number_of_places_each_has_its_share_to_within_one(weights: list[int], places: int) -> None:
    mixture = Mixture(weights)
    had = Counter(mixture.at(place)[0] for place in range(places))
    for benchmark, weight in enumerate(weights):
        assert abs(had[benchmark] - places * weight / sum(weights)) < 1


def test_places_of_a_benchmark_are_numbered_one_after_the_other() -> None:
    mixture = Mixture([0.7, 0.2, 0.1])
    places = [mixture.at(place) for place in range(25)]
    for benchmark in range(3):
        numbers = [number for owner, number in places if owner == benchmark]
        assert numbers == list(range(len(numbers)))
    assert mixture.at(10_000_007) == (mixture.at(7)[0], 1_000_000 * [7, 2, 1][mixture.at(7)[0]] + mixture.at(7)[1])


def test_only_ratios_count_and_too_fine_ones_are_refused() -> None:
    assert Mixture([0.5, 0.25]).per_period == Mixture([200, 100]).per_period == [2, 1]
    with pytest.raises(UserError, match=r"data\.mixing: .* repeats only after"):
        Mixture([0.123456789, 1])


def test_a_small_benchmark_comes_again_before_a_large_one_was_seen_whole() -> None:
    drawn = mixed().draw(30)
    assert Counter(BENCHMARKS[index] for index, _ in drawn) == {"vqa_rad": 20, "slake": 10}
    small = [index for index, _ in drawn if index < 3]
    for start in range(0, 18, 3):
        assert sorted(small[start : start + 3]) == [0, 1, 2]
    assert sorted(index for index, _ in drawn if index >= 3) == list(range(3, 13))
    assert len({*drawn}) == 30  # so that episodes of the same question get seeds of their own
    assert len({tuple(small[start : start + 3]) for start in range(0, 18, 3)}) > 1  # each time in another order


def test_the_stream_goes_on_exactly_and_follows_the_seed() -> None:
    whole = mixed().take(40)
    assert whole != mixed(seed=1).take(40)
    first = mixed()
    before = first.take(17)
    second = mixed()
    second.load_state_dict(first.state_dict())
    assert before + second.take(23) == whole
    ahead = iter(mixed())  # as a loader reads it
    assert [next(ahead) for _ in range(40)] == whole


def test_another_mixture_does_not_go_on() -> None:
    other = MixedSampler(BENCHMARKS, {"vqa_rad": 1, "slake": 1})
    with pytest.raises(UserError, match=r"made with data\.mixing \{'vqa_rad': 2, 'slake': 1\}, now it is"):
        other.load_state_dict(mixed().state_dict())


def test_what_has_no_weight_or_no_questions_is_named() -> None:
    with pytest.raises(UserError, match="gives slake no weight"):
        MixedSampler(BENCHMARKS, {"vqa_rad": 1})
    with pytest.raises(UserError, match="nothing of path_vqa to train on"):
        MixedSampler(BENCHMARKS, {"vqa_rad": 1, "slake": 1, "path_vqa": 1})
