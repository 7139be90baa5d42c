"""Estimators of the KL divergence, by hand and against the exact divergence of two small distributions."""

from __future__ import annotations

import math

import pytest
import torch

from medvista.functional.objectives.kl import kl_estimate


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("k1", math.log(2)), ("k2", math.log(2) ** 2 / 2), ("k3", 0.5 + math.log(2) - 1)],
)
def test_estimates_where_the_policy_is_twice_as_sure_as_the_reference(kind: str, expected: float) -> None:
    estimate = kl_estimate(torch.tensor([[math.log(0.5)]]), torch.tensor([[math.log(0.25)]]), kind)  # type: ignore[arg-type]
    assert estimate.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_the_unbiased_estimators_average_to_the_exact_divergence(kind: str) -> None:
    policy, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.5, 0.1, 0.4])
    exact = (policy * (policy / reference).log()).sum()
    averaged = (policy * kl_estimate(policy.log(), reference.log(), kind)).sum()  # type: ignore[arg-type]
    torch.testing.assert_close(averaged, exact)


def test_k3_is_never_negative_and_zero_only_where_both_agree() -> None:
    difference = torch.linspace(-3, 3, 61)
    estimate = kl_estimate(torch.zeros(61), difference, "k3")
    assert (estimate >= 0).all()
    assert estimate[30] == 0
    assert (estimate[difference.abs() > 0.05] > 0).all()
