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


def gradients(logits: torch.Tensor, reference: torch.Tensor) -> dict[str, torch.Tensor]:
    """Expected gradients over all ids of a softmax policy, of each estimator in the loss and of k1 in the reward."""
    expected = {}
    for kind in ("k1", "k2", "k3"):
        log_probs = logits.log_softmax(-1)
        estimate = kl_estimate(log_probs, reference, kind)  # type: ignore[arg-type]
        (expected[kind],) = torch.autograd.grad((log_probs.exp().detach() * estimate).sum(), logits)
    log_probs = logits.log_softmax(-1)
    penalty = kl_estimate(log_probs, reference, "k1").detach()
    (expected["reward"],) = torch.autograd.grad((log_probs.exp().detach() * penalty * log_probs).sum(), logits)
    return expected


def test_what_each_estimator_pulls_towards_is_what_its_help_says() -> None:
    logits = torch.tensor([0.3, -1.0, 0.8, 0.1], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.5, 0.2, 0.2, 0.1], dtype=torch.float64).log()
    log_probs = logits.log_softmax(-1)
    (of_policy,) = torch.autograd.grad((log_probs.exp() * (log_probs - reference)).sum(), logits, retain_graph=True)
    (of_reference,) = torch.autograd.grad((reference.exp() * (reference - log_probs)).sum(), logits)
    found = gradients(logits, reference)
    torch.testing.assert_close(found["k1"], torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(found["k2"], of_policy)  # KL(policy || reference)
    torch.testing.assert_close(found["reward"], of_policy)
    torch.testing.assert_close(found["k3"], of_reference)  # KL(reference || policy)
    assert not torch.allclose(of_policy, of_reference)
