"""Chunks of positions give the log-probabilities, entropies and gradients of all positions at once."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from medvista.functional import log_probs
from medvista.functional.log_probs import WithEntropy, chosen_log_probs, restricted_log_softmax

K, D, V = 13, 6, 11
TEMPERATURE = 0.7


@pytest.fixture
def parts() -> tuple[nn.Linear, Tensor, Tensor, Tensor]:
    """A head with a bias, states, chosen ids, and the ids that may be chosen."""
    torch.manual_seed(0)
    allowed = torch.ones(V, dtype=torch.bool)
    allowed[[2, V - 1]] = False
    chosen = allowed.nonzero().squeeze(1)[torch.randint(V - 2, (K,))]
    return nn.Linear(D, V), torch.randn(K, D), chosen, allowed


def naive(head: nn.Linear, hidden: Tensor, ids: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    scores = restricted_log_softmax(head(hidden), allowed, TEMPERATURE)
    entropy = torch.distributions.Categorical(logits=head(hidden)[:, allowed] / TEMPERATURE).entropy()
    return scores[torch.arange(K), ids], entropy


@pytest.mark.parametrize("chunk", [1, 4 * V, 4 * V + 5, K * V], ids=["one", "four", "uneven", "all"])
def test_chunks_have_the_values_and_gradients_of_the_whole(
    parts: tuple[nn.Linear, Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(log_probs, "KEPT_LOGITS", 0)
    monkeypatch.setattr(log_probs, "CHUNK_LOGITS", chunk)
    head, hidden, ids, allowed = parts
    hidden.requires_grad_()
    weights = torch.randn(2, K)
    inputs = (hidden, *head.parameters())
    expected = naive(head, hidden, ids, allowed)
    found = chosen_log_probs(head, hidden, ids, allowed, temperature=TEMPERATURE, entropy="gradient")
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    gradients = [
        torch.autograd.grad((weights[0] * scores + weights[1] * entropy).sum(), inputs)
        for scores, entropy in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("wanted", ["no", "value"])
@pytest.mark.parametrize("kept", [0, K * V])
def test_an_entropy_for_the_log_has_no_gradient(
    parts: tuple[nn.Linear, Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, wanted: WithEntropy, kept: int
) -> None:
    monkeypatch.setattr(log_probs, "KEPT_LOGITS", kept)
    head, hidden, ids, allowed = parts
    scores, entropy = chosen_log_probs(head, hidden, ids, allowed, temperature=TEMPERATURE, entropy=wanted)
    expected = naive(head, hidden, ids, allowed)[1] if wanted == "value" else torch.zeros(K)
    torch.testing.assert_close(entropy, expected)
    both = torch.autograd.grad((scores + 100 * entropy).sum(), head.weight, retain_graph=True)
    alone = torch.autograd.grad(scores.sum(), head.weight)
    torch.testing.assert_close(both, alone, atol=0, rtol=0)


def test_no_more_than_a_chunk_goes_through_the_head(
    parts: tuple[nn.Linear, Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_probs, "KEPT_LOGITS", 0)
    monkeypatch.setattr(log_probs, "CHUNK_LOGITS", 5 * V)
    head, hidden, ids, allowed = parts
    seen: list[int] = []
    head.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    scores, _ = chosen_log_probs(head, hidden, ids, allowed)
    assert seen == [5, 5, 3]
    scores.sum().backward()
    assert sorted(seen) == sorted([5, 5, 3] * 2)  # once more in backward: nothing was kept
    with torch.no_grad():
        chosen_log_probs(head, hidden, ids, allowed)
    assert list(itertools.islice(seen, 6, None)) == [5, 5, 3]


def test_no_position_is_a_result_of_no_position(parts: tuple[nn.Linear, Tensor, Tensor, Tensor]) -> None:
    head, hidden, ids, allowed = parts
    scores, entropy = chosen_log_probs(head, hidden[:0], ids[:0], allowed, entropy="value")
    assert scores.shape == entropy.shape == (0,)
