"""Every family without recurrent layers: streams in one row have the log-probabilities and gradients of rows apart."""

from __future__ import annotations

import pytest
import torch

from medvista.app.training.packing_check import packs_exactly
from medvista.functional.objectives import negative_log_likelihood
from medvista.notices import NOTICES
from medvista.policies import VLMPolicy
from medvista.policies.packing import why_not_packable
from medvista.rollout import TokenBatch
from medvista.types import TokenStream, VQASample
from tests.policies.families.test_engine_and_trainer import ROWS, play
from tests.policies.families.tiny_families import PARAMS, build


@pytest.fixture(scope="module", params=PARAMS)
def policy(request: pytest.FixtureRequest) -> VLMPolicy:
    return build(request.param)


@pytest.fixture(scope="module")
def streams(policy: VLMPolicy, questions: list[VQASample]) -> list[TokenStream]:
    """Three episodes of three turns, of different lengths, with up to three images."""
    return [episode.stream for episode in play(policy, ROWS, questions[0])]


def loss_and_gradient(policy: VLMPolicy, batch: TokenBatch, *, packed: bool) -> tuple[torch.Tensor, torch.Tensor]:
    policy.zero_grad()
    scores, _ = batch.log_probs(policy, packed=packed)
    negative_log_likelihood(scores, batch.loss_mask).backward()
    gradients = [p.grad.flatten() for p in policy.parameters() if p.grad is not None]
    return scores.detach(), torch.cat(gradients)


def test_packed_streams_have_the_same_log_probabilities_and_gradients(
    policy: VLMPolicy, streams: list[TokenStream]
) -> None:
    batch = TokenBatch.from_streams(streams)
    if why_not_packable(policy.family, policy.base_model):
        assert policy.family.one_row_per_cache
        return
    apart, expected = loss_and_gradient(policy, batch, packed=False)
    together, gradient = loss_and_gradient(policy, batch, packed=True)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    torch.testing.assert_close(gradient, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


def test_a_model_that_cannot_pack_is_told_with_the_reason(policy: VLMPolicy, streams: list[TokenStream]) -> None:
    NOTICES.clear()
    exact = packs_exactly(policy, streams)
    assert exact != policy.family.one_row_per_cache
    told = [notice.what for notice in NOTICES.collected() if "instead of packed" in notice.what]
    assert bool(told) != exact
