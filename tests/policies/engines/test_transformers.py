"""Sampling and the kept cache: only new tokens are fed, and nothing is computed differently for it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, zip_longest
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from medvista.errors import UserError
from medvista.policies import ChatRenderer, GenerationRequest, SamplingParams, TransformersEngine, VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.types import Observation, Trajectory, VQASample

MakeCollector = Callable[..., RolloutCollector]


def play(make: MakeCollector, policy: VLMPolicy, samples: Sequence[VQASample], **params: Any) -> list[Trajectory]:
    seeds = params.pop("seeds", range(len(samples)))
    return make(policy).collect(samples, SamplingParams(**{"max_new_tokens": 24, **params}), seeds=seeds)


def first_request(policy: VLMPolicy, sample: VQASample, make_env: Any, seed: int = 0) -> GenerationRequest:
    observation, _ = make_env().reset(seed=seed, options={"sample": sample})
    (prompt,) = ChatRenderer(policy).prompt([observation])
    start = Trajectory(sample=sample, observation=observation)
    return GenerationRequest(
        episode=seed,
        trajectory=Trajectory(
            sample=sample, observation=start.observation, stream=start.stream.append_segment(prompt), seed=seed
        ),
        seed=(seed, 0),
    )


@contextmanager
def fed_to(model: torch.nn.Module) -> Iterator[list[dict[str, Any]]]:
    """The keyword arguments of every call of the model."""
    calls: list[dict[str, Any]] = []
    hook = model.register_forward_pre_hook(lambda _, args, kwargs: calls.append(kwargs), with_kwargs=True)
    try:
        yield calls
    finally:
        hook.remove()


# ----------------------------------------------------------------------------------------------------------- the cache


def test_every_token_is_fed_once_and_every_image_once(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    turns_seen = set()
    for sample in questions[:4]:
        with fed_to(schooled.model) as calls:
            (episode,) = play(make_collector, schooled, [sample])
        assert sum(call["input_ids"].shape[1] for call in calls) == len(episode.stream) - 1  # the last is never fed
        grids = [call["image_grid_thw"] for call in calls if "image_grid_thw" in call]
        assert sum(map(len, grids)) == len(episode.stream.images)
        fed = torch.cat([call["input_ids"] for call in calls], dim=1)[0].tolist()
        assert tuple(fed) == episode.stream.token_ids[:-1]
        turns_seen.add(len(episode.turns))
    assert max(turns_seen) > 1


def test_a_batch_is_fed_as_many_columns_as_its_longest_piece_of_news(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    with fed_to(schooled.model) as calls:
        episodes = play(make_collector, schooled, questions)
    # What the policy did not sample, one run per turn; after the prompt the last sampled token is new to the cache too.
    runs = [[len(list(run)) for sampled, run in groupby(e.stream.loss_mask) if not sampled] for e in episodes]
    news = [max(length + (turn > 0) for length in lengths if length) for turn, lengths in enumerate(zip_longest(*runs))]
    widths = [call["input_ids"].shape[1] for call in calls]
    assert [width for width in widths if width > 1] == news
    assert widths.count(1) <= 3 * (24 - 1)  # three turns; nothing is decoded from the last token of each


@pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4, 5], [4, 1], [5, 3, 0]])
def test_the_kept_cache_gives_the_logits_of_a_fresh_forward_over_the_whole_stream(
    schooled: VLMPolicy, questions: list[VQASample], make_env: Any, kept: list[int]
) -> None:
    renderer, engine = ChatRenderer(schooled), TransformersEngine(schooled)
    params = SamplingParams(max_new_tokens=20)
    requests = [first_request(schooled, sample, make_env, i) for i, sample in enumerate(questions[:6])]
    for turn in range(2):
        completions = engine.generate(requests, params)
        requests, completions = [requests[i] for i in kept], [completions[i] for i in kept]
        requests = [
            _go_on(r, c, renderer, with_image=(i + turn) % 2 == 0)
            for i, (r, c) in enumerate(_zip(requests, completions))
        ]
        kept = list(range(len(kept)))
    assert engine._rows is not None
    assert engine._rows.continues(requests)
    with torch.no_grad():
        cached = engine._rows.prefill(requests)
        fresh = torch.stack([_fresh_logits(schooled, request) for request in requests])
    assert fresh.std() > 0.5  # the logits differ enough between tokens for the next line to mean something
    torch.testing.assert_close(cached, fresh, atol=1e-4, rtol=1e-4)


def _zip(requests: Sequence[GenerationRequest], completions: Sequence[Any]) -> list[tuple[GenerationRequest, Any]]:
    return list(zip(requests, completions, strict=True))


def _go_on(request: GenerationRequest, completion: Any, renderer: ChatRenderer, with_image: bool) -> GenerationRequest:
    """The request of the next turn, after an observation that is longer where it shows an image."""
    trajectory = request.trajectory
    shown = trajectory.observation.images if with_image else ()
    observation = Observation(text="Image 1: Zoom of image 0." if with_image else "Error", images=shown)
    (delta,) = renderer.delta([observation], [completion.finish_reason == "stop"])
    stream = trajectory.stream.append_completion(completion).append_segment(delta)
    grown = Trajectory(sample=trajectory.sample, observation=trajectory.observation, stream=stream)
    return GenerationRequest(episode=request.episode, trajectory=grown, seed=(*request.seed, 1))


def _fresh_logits(policy: VLMPolicy, request: GenerationRequest) -> Tensor:
    stream = request.trajectory.stream
    ids = torch.tensor([stream.token_ids])
    return policy.logits(ids, torch.ones_like(ids), policy.family.collate(stream.images))[0, -1]


def test_a_released_engine_starts_afresh_with_the_new_weights(
    schooled: VLMPolicy, questions: list[VQASample], make_env: Any
) -> None:
    policy = copy.deepcopy(schooled)
    engine, params = TransformersEngine(policy), SamplingParams(max_new_tokens=4, temperature=0)
    request = first_request(policy, questions[0], make_env)
    (before,) = engine.generate([request], params)
    with torch.no_grad():
        policy.model.get_input_embeddings().weight.mul_(1.5)
    engine.release()
    (after,) = engine.generate([request], params)
    (expected,) = TransformersEngine(policy).generate([request], params)
    assert after.log_probs == expected.log_probs
    assert after.log_probs != before.log_probs


def test_no_request_gives_no_completion(nano: VLMPolicy) -> None:
    assert TransformersEngine(nano).generate([], SamplingParams()) == []


def test_attention_that_would_misread_the_mask_is_refused(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano)
    policy.model.set_attn_implementation("eager")
    with pytest.raises(UserError, match="'sdpa', the model was loaded with 'eager'"):
        TransformersEngine(policy)


# ------------------------------------------------------------------------------------------------------------ sampling


@pytest.fixture(scope="module")
def logits_row(nano: VLMPolicy) -> Tensor:
    """Logits of the whole vocabulary; two ids that may be sampled hold most, two that may not would hold more."""
    row = torch.randn(len(nano.allowed_ids), generator=torch.Generator().manual_seed(0))
    row[nano.tokenizer.eos_token_id] = 4.0
    row[300] = 5.0
    row[nano.image_token_id] = 50.0
    row[-1] = 50.0  # of the padded tail
    return row


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampled_frequencies_match_the_distribution(nano: VLMPolicy, logits_row: Tensor, temperature: float) -> None:
    n = 20_000
    draws = torch.from_numpy(np.random.default_rng(7).random(n))
    chosen, log_probs = TransformersEngine(nano)._sample(logits_row.expand(n, -1), draws, temperature)
    allowed = nano.allowed_ids
    expected = torch.where(allowed, logits_row / temperature, -torch.inf).double().softmax(0)
    counts = torch.bincount(chosen, minlength=len(allowed)).double()
    assert counts[~allowed].sum() == 0
    # The test wants ids that are expected fewer than five times to be counted together (here, with one that is not).
    apart = n * expected > max(5, n * expected[n * expected >= 5].min())
    observed = [*counts[apart].tolist(), counts[~apart].sum().item()]
    predicted = [*(n * expected[apart]).tolist(), n * expected[~apart].sum().item()]
    assert stats.chisquare(observed, predicted).pvalue > 0.001
    torch.testing.assert_close(log_probs.double(), expected[chosen].log(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("draw", [0.0, 1e-12, 0.5, 1 - 1e-9, float(np.nextafter(1.0, 0.0))])
def test_no_draw_whatever_picks_a_banned_id(nano: VLMPolicy, logits_row: Tensor, draw: float) -> None:
    draws = torch.tensor([draw], dtype=torch.float64)
    chosen, log_prob = TransformersEngine(nano)._sample(logits_row[None], draws, 1.0)
    assert nano.allowed_ids[chosen].all()
    assert torch.isfinite(log_prob).all()


def test_the_end_of_turn_can_be_sampled(nano: VLMPolicy, logits_row: Tensor) -> None:
    draws = torch.linspace(0, 0.999, 500, dtype=torch.float64)
    chosen, _ = TransformersEngine(nano)._sample(logits_row.expand(500, -1), draws, 1.0)
    assert nano.tokenizer.eos_token_id in chosen.tolist()


def test_greedy_is_the_most_likely_of_the_allowed_ids(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    for episode in play(make_collector, schooled, questions[:3], temperature=0):
        ids = torch.tensor([episode.stream.token_ids])
        with torch.no_grad():
            logits = schooled.logits(ids, torch.ones_like(ids), schooled.family.collate(episode.stream.images))[0]
        best = logits.masked_fill(~schooled.allowed_ids, -torch.inf).argmax(-1)
        sampled = torch.tensor(episode.stream.loss_mask).nonzero()[:, 0]
        assert best[sampled - 1].tolist() == ids[0, sampled].tolist()


def test_greedy_does_not_depend_on_the_seed(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    one, other = (
        play(make_collector, schooled, questions[:4], temperature=0, seeds=range(first, first + 4)) for first in (0, 50)
    )
    assert [t.stream.token_ids for t in one] == [t.stream.token_ids for t in other]


def test_an_episode_is_the_same_alone_as_among_others(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    together = play(make_collector, schooled, questions)
    for index in (0, 5, 9):
        (alone,) = play(make_collector, schooled, [questions[index]], seeds=[index])
        assert alone.stream.token_ids == together[index].stream.token_ids
        torch.testing.assert_close(
            torch.tensor(alone.stream.log_probs), torch.tensor(together[index].stream.log_probs), atol=1e-4, rtol=0
        )


def test_siblings_with_different_seeds_differ_and_with_the_same_seed_do_not(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    episodes = play(make_collector, schooled, [questions[0]] * 6, seeds=[1, 2, 3, 4, 1, 2])
    streams = [episode.stream.token_ids for episode in episodes]
    assert len(set(streams[:4])) > 1
    assert streams[4:] == streams[:2]


def test_a_turn_stops_at_its_end_or_at_the_budget(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    end = schooled.tokenizer.eos_token_id
    turns = [t for e in play(make_collector, schooled, questions, max_new_tokens=13) for t in e.turns]
    assert {turn.completion.finish_reason for turn in turns} == {"stop", "length"}
    for completion in (turn.completion for turn in turns):
        assert end not in completion.token_ids[:-1]
        assert len(completion.token_ids) == len(completion.log_probs)
        if completion.finish_reason == "stop":
            assert completion.token_ids[-1] == end
            assert completion.text == schooled.tokenizer.decode(completion.token_ids[:-1])
        else:
            assert len(completion.token_ids) == 13
            assert completion.token_ids[-1] != end
