"""Group-relative advantages against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch

from medvista.functional.objectives.advantages import (
    broadcast_to_tokens,
    generalised_advantages,
    group_advantages,
    standard_scores,
    zero_variance,
)


def test_advantages_are_standard_scores_within_each_group() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 3.0]])
    # First group: mean 1/4, standard deviation sqrt(3)/4; second: mean 2, standard deviation 1.
    expected = torch.tensor([[math.sqrt(3), *[-1 / math.sqrt(3)] * 3], [1.0, -1.0, -1.0, 1.0]])
    torch.testing.assert_close(group_advantages(rewards), expected, atol=1e-4, rtol=0)


def test_without_scaling_advantages_are_differences_to_the_mean() -> None:
    advantages = group_advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), scale="none")
    torch.testing.assert_close(advantages, torch.tensor([[0.75, -0.25, -0.25, -0.25]]))


@pytest.mark.parametrize("scale", ["std", "none"])
def test_a_group_that_earned_the_same_has_no_advantage(scale: str) -> None:
    rewards = torch.tensor([[1.1], [0.7], [1e3 + 0.1]]).expand(3, 7)
    assert (group_advantages(rewards, scale) == 0).all()  # type: ignore[arg-type]
    assert zero_variance(rewards).tolist() == [True] * 3


def test_zero_variance_looks_past_rounding_and_at_nothing_more() -> None:
    rewards = torch.tensor([[1.0, 1.0 + 1e-7], [1.0, 1.0 + 1e-4], [0.0, 0.0]])
    assert zero_variance(rewards).tolist() == [True, False, True]


def test_tokens_that_were_not_sampled_have_no_advantage() -> None:
    mask = torch.tensor([[False, True, True], [False, False, True]])
    tokens = broadcast_to_tokens(torch.tensor([2.0, -1.0]), mask)
    assert tokens.tolist() == [[0.0, 2.0, 2.0], [0.0, 0.0, -1.0]]


def test_what_was_earned_less_what_was_expected_is_the_advantage_where_values_are_not_trusted() -> None:
    rewards = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    values, mask = torch.tensor([[0.5, 9.0, 0.2, 0.6]]), torch.tensor([[True, False, True, True]])
    found = generalised_advantages(rewards, values, mask, trace=1.0)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.0, 0.8, 0.4]]))
    found = generalised_advantages(rewards, values, mask, trace=0.0)  # one step ahead, past the observation
    torch.testing.assert_close(found, torch.tensor([[-0.3, 0.0, 0.4, 0.4]]))


def test_scores_are_standardised_over_all_processes() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    theirs = iter([{"tokens": 2.0, "values": 8.0}, {"squares": 1.0 + 25.0}])

    def totals(ours: Mapping[str, float]) -> dict[str, float]:
        other = next(theirs)
        return {name: value + other[name] for name, value in ours.items()}

    # Ours are -1 and 1, theirs 1 and 7: the mean is 2.
    found = standard_scores(torch.tensor([[-1.0, 1.0]]), mask, totals)
    deviation = math.sqrt((9 + 1 + 1 + 25) / 4)
    torch.testing.assert_close(found, torch.tensor([[-3 / deviation, -1 / deviation]]))


def test_equal_advantages_are_no_advantages() -> None:
    assert (standard_scores(torch.full((2, 3), 0.1), torch.ones(2, 3, dtype=torch.bool)) == 0).all()
