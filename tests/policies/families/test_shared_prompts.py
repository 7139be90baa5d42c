"""Every family: what rows share, prompts and images, is computed once and gives the same values and gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from medvista.notices import NOTICES
from medvista.policies import ChatRenderer, VLMPolicy
from medvista.rollout import TokenBatch
from medvista.types import Completion, MedicalImage, Observation, TokenStream
from tests.policies.families.tiny_families import PARAMS, build

EACH_BY_ITSELF = {"gemma3", "qwen3_5", "qwen3_5_moe"}  # a window, pictures that look both ways; recurrent layers


@pytest.fixture(scope="module", params=PARAMS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def policy(name: str) -> VLMPolicy:
    return build(name).requires_grad_()


def picture(height: int, width: int, seed: int) -> MedicalImage:
    return MedicalImage(pixels=np.random.default_rng(seed).integers(1, 256, (height, width), dtype=np.uint8))


@pytest.fixture(scope="module")
def batch(policy: VLMPolicy) -> TokenBatch:
    """Five rows: three about one question, of which two look at the same place again, and two about others."""
    renderer = ChatRenderer(policy, "Tools: zoom")
    asked = [
        Observation(text="What is it?", images=(picture(48, 48, 0),)),
        Observation(text="Is the solid region left of it?", images=(picture(30, 64, 1), picture(48, 48, 0))),
        Observation(text="yes or no?"),
    ]
    prompts = renderer.prompt(asked)
    words = policy.allowed_ids.nonzero().flatten().tolist()

    def wrote(stream: TokenStream, count: int) -> TokenStream:
        ids = tuple(words[count : 2 * count])
        return stream.append_completion(
            Completion(token_ids=ids, log_probs=(0.0,) * count, text="", finish_reason="length")
        )

    streams = []
    for length, question, seen in ((4, 0, 2), (9, 0, None), (3, 1, 3), (6, 0, 2), (5, 2, None)):
        stream = wrote(TokenStream().append_segment(prompts[question]), length)
        if seen is not None:
            shown = Observation(text="Zoom of image 0.", images=(picture(40, 40, seen),))
            stream = wrote(stream.append_segment(renderer.delta([shown], [False], [-1])[0]), length + 2)
        streams.append(stream)
    return TokenBatch.from_streams(streams)


def scored(policy: VLMPolicy, batch: TokenBatch, **options: bool) -> tuple[Tensor, dict[str, Tensor]]:
    policy.zero_grad()
    log_probs, _ = batch.log_probs(policy, **options)
    (log_probs * torch.linspace(-1, 1, log_probs.numel()).view_as(log_probs)).sum().backward()
    return log_probs.detach(), {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}


def one_by_one(policy: VLMPolicy, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """The reference: no row knows of another."""
    policy.zero_grad()
    weights = torch.linspace(-1, 1, batch.token_ids.numel()).view_as(batch.token_ids)
    found = torch.zeros_like(weights)
    for row in range(len(batch)):
        (log_probs,), _ = batch.select([row]).log_probs(policy)
        (log_probs * weights[row, : len(log_probs)]).sum().backward()
        found[row, : len(log_probs)] = log_probs.detach()
    return found, {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}


def assert_same_gradients(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max().item() <= tolerance * largest, name


@pytest.mark.parametrize("share", [False, True])
def test_values_and_gradients_are_those_of_rows_one_by_one(policy: VLMPolicy, batch: TokenBatch, share: bool) -> None:
    expected, gradients = one_by_one(policy, batch)
    found, shared = scored(policy, batch, share_prompts=share)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert_same_gradients(shared, gradients, 1e-5)
    assert any("vision" in name or "visual" in name for name in shared)


def test_a_model_whose_tokens_see_otherwise_computes_each_row_by_itself_and_says_so(
    policy: VLMPolicy, batch: TokenBatch, name: str
) -> None:
    policy._shares_prompts = None
    NOTICES.clear()
    with torch.no_grad():
        batch.log_probs(policy, share_prompts=True)
    assert policy._shares_prompts is (name not in EACH_BY_ITSELF)
    assert len(NOTICES.collected()) == (name in EACH_BY_ITSELF)


def test_each_distinct_image_is_encoded_once_in_a_pass(policy: VLMPolicy, batch: TokenBatch) -> None:
    features = policy.features
    encoded, distinct = features.encoded, features.distinct
    copies = tuple(tuple({n: t.clone() for n, t in image.items()} for image in images) for images in batch.images)
    with torch.no_grad():
        replace(batch, images=copies).log_probs(policy, rows_at_once=2)
    assert features.distinct - distinct == 4
    assert features.encoded - encoded == 4
