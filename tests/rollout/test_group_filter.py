"""Which groups an update learns from, and how many are played in place of the others."""

from __future__ import annotations

import pytest

from medvista.rollout import choose_groups

UNEVEN, RIGHT, WRONG = [1.0, 0.0, 1.0], [1.1, 1.1, 1.1], [0.0, 0.0, 0.0]


def test_groups_whose_siblings_all_earned_the_same_are_set_aside() -> None:
    choice = choose_groups([RIGHT, UNEVEN, WRONG, UNEVEN], wanted=4, refills_left=1)
    assert choice.useful == choice.kept == (1, 3)
    assert choice.flat == (0, 2)
    assert choice.zero_variance_share == 0.5


def test_a_difference_of_rounding_is_none() -> None:
    choice = choose_groups([[0.1 + 0.2, 0.3], [1.0, 1.0001]], wanted=2, refills_left=0)
    assert choice.kept == (1,)


@pytest.mark.parametrize(
    ("rewards", "refills_left", "refill"),
    [
        ([UNEVEN, UNEVEN, WRONG], 1, 1),  # one more is wanted
        ([UNEVEN, UNEVEN, WRONG], 0, 0),  # but nothing may be played any more
        ([WRONG, RIGHT, WRONG], 2, 3),
        ([UNEVEN, UNEVEN, WRONG, UNEVEN], 1, 0),  # there are enough, the refills before counted
        ([UNEVEN, UNEVEN, WRONG, RIGHT], 1, 1),
    ],
)
def test_as_many_groups_are_played_again_as_are_missing(
    rewards: list[list[float]], refills_left: int, refill: int
) -> None:
    assert choose_groups(rewards, wanted=3, refills_left=refills_left).refill == refill


def test_where_no_group_is_useful_the_first_one_stays() -> None:
    choice = choose_groups([WRONG, RIGHT], wanted=2, refills_left=0)
    assert choice.kept == (0,)
    assert choice.zero_variance_share == 1.0


def test_a_flat_group_stays_only_where_there_is_no_other() -> None:
    assert choose_groups([WRONG, UNEVEN], wanted=2, refills_left=0).kept == (1,)
