"""The majority of several samples, against every subset counted one by one."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvista.functional.statistics import pass_at_k
from medvista.functional.text import exact_match
from medvista.functional.voting import majority_at_k, vote


def every_subset(votes: list[str | None], right: set[str], k: int) -> float:
    total = 0.0
    subsets = list(combinations(votes, k))
    for subset in subsets:
        counts = Counter(v for v in subset if v is not None)
        if counts:
            most = max(counts.values())
            winners = [v for v, count in counts.items() if count == most]
            total += sum(v in right for v in winners) / len(winners)
    return total / len(subsets)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["left", "right", "both", None]), min_size=1, max_size=8),
    st.sets(st.sampled_from(["left", "right"])),
    st.data(),
)
def test_majority_at_k_is_the_mean_over_every_subset(votes: list, right: set, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(votes)))
    labels = [v in right for v in votes]
    assert majority_at_k(votes, labels, k) == pytest.approx(every_subset(votes, right, k))


def test_one_vote_is_the_mean_accuracy_and_so_is_pass_at_one() -> None:
    votes = ["left", "left", "right", None, "both"]
    labels = [v == "left" for v in votes]
    assert majority_at_k(votes, labels, 1) == pytest.approx(2 / 5) == pytest.approx(pass_at_k(5, 2, 1))


def test_the_majority_of_all_is_decided_and_a_minority_that_is_right_loses() -> None:
    assert majority_at_k(["a", "a", "b"], [False, False, True], 3) == 0.0
    assert majority_at_k(["a", "b"], [True, False], 2) == 0.5
    assert majority_at_k([None, None], [False, False], 2) == 0.0


def test_spellings_that_match_exactly_are_one_vote() -> None:
    said = ["Left lung.", "the left lung", "Answer: left-lung"]
    assert {vote(text) for text in said} == {"left lung"}
    assert all(exact_match(text, ["left lung"]) for text in said)
    assert vote("(b)", ["heart", "lung"]) == vote("Lung.", ["heart", "lung"]) == 1
    assert vote(None) is None
    assert vote(" . ") is None
    assert vote("A or B", ["heart", "lung"]) is None


def test_wrong_numbers_of_votes_are_refused() -> None:
    for votes, right, k in ([["a"], [True], 2], [["a"], [True], 0], [["a", "b"], [True], 1]):
        with pytest.raises(ValueError, match="majority@k needs"):
            majority_at_k(votes, right, k)
