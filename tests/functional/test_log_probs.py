"""The distribution over the ids that may be sampled."""

from __future__ import annotations

import torch

from medvista.functional.log_probs import restricted_log_softmax

LOGITS = torch.tensor([[1.0, 2.0, 50.0, 0.0]])
ALLOWED = torch.tensor([True, True, False, True])


def test_banned_ids_have_no_probability_and_take_none_from_the_others() -> None:
    probabilities = restricted_log_softmax(LOGITS, ALLOWED).exp()
    assert probabilities[0, 2] == 0
    torch.testing.assert_close(probabilities[0, ALLOWED], torch.tensor([1.0, 2.0, 0.0]).softmax(0))


def test_temperature_divides_the_logits() -> None:
    probabilities = restricted_log_softmax(LOGITS, ALLOWED, temperature=0.5).exp()
    torch.testing.assert_close(probabilities[0, ALLOWED], torch.tensor([2.0, 4.0, 0.0]).softmax(0))


def test_half_precision_logits_are_normalised_in_single_precision() -> None:
    logits = torch.zeros(1, 5000, dtype=torch.bfloat16)
    total = restricted_log_softmax(logits, torch.ones(5000, dtype=torch.bool)).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0), atol=1e-4, rtol=0)


def test_no_gradient_reaches_a_banned_logit() -> None:
    logits = LOGITS.clone().requires_grad_()
    restricted_log_softmax(logits, ALLOWED)[0, 0].backward()
    assert logits.grad is not None
    assert logits.grad[0, 2] == 0
    assert torch.isfinite(logits.grad).all()
