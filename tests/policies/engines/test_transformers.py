"""Sampling and the kept cache: only new tokens are fed, and nothing is computed differently for it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
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


def first_requests(policy: VLMPolicy, samples: Sequence[VQASample], make_env: Any) -> list[GenerationRequest]:
    """The first turns of episodes 0, 1, ...; those about one sample share their prompt, as a collector's do."""
    prompts: dict[str, GenerationRequest] = {}
    requests = []
    for episode, sample in enumerate(samples):
        start = prompts.setdefault(sample.id, first_request(policy, sample, make_env, episode))
        requests.append(GenerationRequest(episode=episode, trajectory=start.trajectory, seed=(episode, 0)))
    return requests


def in_order(requests: Sequence[GenerationRequest], engine: TransformersEngine) -> list[GenerationRequest]:
    """The requests in the order of the engine's batch."""
    return sorted(requests, key=lambda request: engine.rows.running.index(request.episode))


@contextmanager
def most_held(engine: TransformersEngine) -> Iterator[Any]:
    """The most tokens that the engine's cache held at any time."""
    most = SimpleNamespace(tokens=0)
    hook = engine.policy.model.register_forward_hook(
        lambda *_: setattr(most, "tokens", max(most.tokens, sum(engine.rows.held.values())))
    )
    try:
        yield most
    finally:
        hook.remove()


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
        with fed_to(schooled.model) as calls, fed_to(schooled.vision_tower) as seen:
            (episode,) = play(make_collector, schooled, [sample])
        assert sum(call["input_ids"].shape[1] for call in calls) == len(episode.stream) - 1  # the last is never fed
        assert sum(len(call["grid_thw"]) for call in seen) == len(episode.stream.images)
        fed = torch.cat([call["input_ids"] for call in calls], dim=1)[0].tolist()
        assert tuple(fed) == episode.stream.token_ids[:-1]
        turns_seen.add(len(episode.turns))
    assert max(turns_seen) > 1


def test_siblings_prompt_is_read_once_and_equal_images_are_encoded_once(
    schooled: VLMPolicy, questions: list[VQASample], make_env: Any
) -> None:
    first = first_requests(schooled, [questions[0]] * 4 + [questions[1]] * 3, make_env)
    lengths = [len(request.trajectory.stream) for request in first]
    engine = TransformersEngine(schooled)
    with fed_to(schooled.vision_tower) as seen:
        engine.generate(first, SamplingParams(max_new_tokens=1))
    assert engine.rows.fed == lengths[0] + lengths[-1]
    assert questions[0].images[0] is questions[1].images[0]  # two questions about one image
    assert [len(call["grid_thw"]) for call in seen] == [1]
    assert (engine.features.shown, engine.features.encoded) == (2, 1)


def test_a_sibling_that_comes_later_copies_the_prompt_of_one_that_has_gone_on(
    schooled: VLMPolicy, questions: list[VQASample], make_env: Any
) -> None:
    early, *others, late = first_requests(schooled, [questions[0]] * 2 + [questions[5]] * 2 + [questions[0]], make_env)
    params = SamplingParams(max_new_tokens=6)
    engine = TransformersEngine(schooled)
    (turn,) = engine.generate([early], params)
    going_on = go_on(early, turn, ChatRenderer(schooled), with_image=True)
    engine.generate([*others, going_on], params)
    fed = engine.rows.fed
    (copied,) = engine.generate([late], params)
    assert engine.rows.fed == fed + len(copied.token_ids) - 1  # the last is never fed
    (alone,) = TransformersEngine(schooled).generate([late], params)
    assert copied.token_ids == alone.token_ids
    torch.testing.assert_close(torch.tensor(copied.log_probs), torch.tensor(alone.log_probs), atol=1e-4, rtol=0)


def test_an_episode_left_behind_joins_again_without_a_second_prefill(
    schooled: VLMPolicy, questions: list[VQASample], make_env: Any
) -> None:
    requests = first_requests(schooled, questions[:5], make_env)
    renderer, params = ChatRenderer(schooled), SamplingParams(max_new_tokens=8)
    engine = TransformersEngine(schooled)
    slow, *others = engine.generate(requests, params)
    for _ in range(2):  # the others take two turns more
        requests[1:] = [go_on(r, c, renderer, with_image=True) for r, c in zip(requests[1:], others, strict=True)]
        others = engine.generate(requests[1:], params)
    back = go_on(requests[0], slow, renderer, with_image=True)
    fed = engine.rows.fed
    (last,) = engine.generate([back], params)
    unseen = len(back.trajectory.stream) - len(requests[0].trajectory.stream) - len(slow.token_ids) + 1
    assert engine.rows.fed - fed == unseen + len(last.token_ids) - 1


def test_rows_that_wait_cost_nothing_and_rows_that_end_leave(
    schooled: VLMPolicy, questions: list[VQASample], make_env: Any
) -> None:
    params = SamplingParams(max_new_tokens=24)
    with fed_to(schooled.model) as calls:
        turns = TransformersEngine(schooled).generate(first_requests(schooled, questions, make_env), params)
    lengths = [len(turn.token_ids) for turn in turns]
    assert len(set(lengths)) > 2
    decoding = [len(call["input_ids"]) for call in calls if call["input_ids"].shape[1] == 1]
    assert decoding == [sum(length > step for length in lengths) for step in range(1, max(lengths))]


def test_a_cache_of_few_tokens_lets_episodes_wait_and_changes_no_turn(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    free = play(make_collector, schooled, questions)
    longest = max(len(episode.stream) for episode in free)
    for budget in (4 * longest, longest // 2):
        engine = TransformersEngine(schooled, cache_tokens=budget)
        with most_held(engine) as most:
            capped = play(lambda policy: make_collector(policy, engine), schooled, questions)  # noqa: B023 - called here
        assert [e.stream.token_ids for e in capped] == [e.stream.token_ids for e in free]
        assert most.tokens <= max(budget, longest)


def test_turns_drawn_in_another_way_cannot_join(schooled: VLMPolicy, questions: list[VQASample], make_env: Any) -> None:
    engine = TransformersEngine(schooled)
    one, other = first_requests(schooled, questions[:2], make_env)
    engine.submit([one], SamplingParams(temperature=1.0))
    with pytest.raises(ValueError, match=r"temperature=1.0.*none with .*temperature=0.5"):
        engine.submit([other], SamplingParams(temperature=0.5))


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
            go_on(r, c, renderer, with_image=(i + turn) % 2 == 0)
            for i, (r, c) in enumerate(_zip(requests, completions))
        ]
        kept = list(range(len(kept)))
    fed = engine.rows.fed
    with torch.no_grad():
        cached = engine.rows.begin(requests)
        fresh = torch.stack([_fresh_logits(schooled, request) for request in in_order(requests, engine)])
    assert engine.rows.fed - fed < sum(len(request.trajectory.stream) for request in requests) / 2
    assert fresh.std() > 0.5  # the logits differ enough between tokens for the next line to mean something
    torch.testing.assert_close(cached, fresh, atol=1e-4, rtol=1e-4)


def _zip(requests: Sequence[GenerationRequest], completions: Sequence[Any]) -> list[tuple[GenerationRequest, Any]]:
    return list(zip(requests, completions, strict=True))


def go_on(request: GenerationRequest, completion: Any, renderer: ChatRenderer, with_image: bool) -> GenerationRequest:
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
