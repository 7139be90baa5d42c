"""Episodes that vLLM plays on the CPU: the trainer's probabilities over turns with images, the weights of now."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch

from medvista.errors import UserError
from medvista.policies import SamplingParams, TransformersEngine, VLLMEngine, VLLMModel, VLMPolicy
from medvista.types import Trajectory, VQASample

pytestmark = pytest.mark.vllm

GAP = 1e-4  # nats, in float32
PARAMS = SamplingParams(max_new_tokens=16)


def tokens(episodes: list[Trajectory]) -> list[tuple[int, ...]]:
    return [episode.stream.token_ids for episode in episodes]


@pytest.fixture(scope="module")
def group(questions: list[VQASample]) -> list[VQASample]:
    """Two questions about one image and one about another, four siblings each."""
    return [sample for sample in (questions[0], questions[1], questions[5]) for _ in range(4)]


@pytest.fixture
def engine(base: VLMPolicy, vllm_model: VLLMModel) -> VLLMEngine:
    return VLLMEngine(base, vllm_model)


@torch.no_grad()
def change_everything(policy: VLMPolicy) -> None:
    """Other weights in the language model, the vision tower and the embeddings."""
    generator = torch.Generator().manual_seed(5)
    for weights in policy.parameters():
        weights += 0.3 * weights.std() * torch.randn(weights.shape, generator=generator)


# ------------------------------------------------------------------------------------------------------- probabilities


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_three_turns_with_images_have_the_trainers_log_probabilities(
    base: VLMPolicy, engine: VLLMEngine, group: list[VQASample], looking: Any, gap: Any, temperature: float
) -> None:
    params = SamplingParams(max_new_tokens=16, temperature=temperature)
    episodes = looking(base, engine).collect(group, params, seeds=range(len(group)))
    assert {len(episode.turns) for episode in episodes} == {3}
    assert {len(episode.stream.images) for episode in episodes} == {3}
    assert gap(base, episodes, temperature) <= GAP
    assert min(min(episode.stream.log_probs) for episode in episodes) < -0.5  # what was sampled was not certain


def test_greedy_turns_are_those_of_the_engine_in_transformers(
    base: VLMPolicy, engine: VLLMEngine, questions: list[VQASample], looking: Any
) -> None:
    params = SamplingParams(max_new_tokens=24, temperature=0)
    ours, theirs = (
        looking(base, one).collect(questions[:6], params, seeds=range(6)) for one in (engine, TransformersEngine(base))
    )
    assert tokens(ours) == tokens(theirs)
    assert [t.completion.text for e in ours for t in e.turns] == [t.completion.text for e in theirs for t in e.turns]


def test_draws_depend_on_an_episodes_own_seed_whatever_shares_its_batch(
    base: VLMPolicy, engine: VLLMEngine, questions: list[VQASample], looking: Any
) -> None:
    seeds = [1, 2, 3, 4, 1, 2]
    collector = looking(base, engine)
    together = tokens(collector.collect([questions[0]] * 6, PARAMS, seeds=seeds))
    assert len(set(together[:4])) > 1
    assert together[4:] == together[:2]
    (alone,) = tokens(collector.collect([questions[0]], PARAMS, seeds=[3]))
    assert alone == together[2]


def test_the_trainers_draws_are_not_touched(
    base: VLMPolicy, engine: VLLMEngine, questions: list[VQASample], looking: Any
) -> None:
    before = torch.get_rng_state()
    looking(base, engine).collect(questions[:3], PARAMS, seeds=range(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_turn_ends_at_its_end_or_at_the_budget(
    base: VLMPolicy, engine: VLLMEngine, group: list[VQASample], looking: Any
) -> None:
    episodes = looking(base, engine).collect(group, SamplingParams(max_new_tokens=6), seeds=range(len(group)))
    completions = [turn.completion for episode in episodes for turn in episode.turns]
    ends = set(base.turn_ends.ids)
    assert not any(ends & set(completion.token_ids[:-1]) for completion in completions)
    for completion in completions:
        assert (completion.token_ids[-1] in ends) == (completion.finish_reason == "stop")
        assert completion.finish_reason == "stop" or len(completion.token_ids) == 6
    assert {completion.finish_reason for completion in completions} == {"stop", "length"}


def test_banned_ids_are_never_sampled(
    base: VLMPolicy, vllm_model: VLLMModel, group: list[VQASample], looking: Any, gap: Any
) -> None:
    usual = looking(base, VLLMEngine(base, vllm_model)).collect(group, PARAMS, seeds=range(len(group)))
    written = Counter(token for e in usual for t in e.turns for token in t.completion.token_ids)
    policy = copy.deepcopy(base)
    banned = [policy.image_token_id, policy.base_model.config.video_token_id]
    embeddings = policy.model.get_input_embeddings().weight
    with torch.no_grad():  # the head shares its weights: twice the logit of what is written most
        embeddings[banned] = 2 * embeddings[[token for token, _ in written.most_common(2)]]
    played = looking(policy, VLLMEngine(policy, vllm_model)).collect(group, PARAMS, seeds=range(len(group)))
    sampled = {token for e in played for t in e.turns for token in t.completion.token_ids}
    assert policy.allowed_ids[list(sampled)].all()
    assert likeliest(policy, played) & set(banned)  # without the ban, some would have been
    assert gap(policy, played) <= GAP


@torch.no_grad()
def likeliest(policy: VLMPolicy, episodes: list[Trajectory]) -> set[int]:
    """The ids that the model finds likeliest where it sampled, none of them banned."""
    found: set[int] = set()
    for episode in episodes:
        ids = torch.tensor([episode.stream.token_ids])
        logits = policy.logits(ids, torch.ones_like(ids), policy.family.collate(episode.stream.images))[0]
        sampled = torch.tensor(episode.stream.loss_mask).nonzero()[:, 0]
        found |= set(logits[sampled - 1].argmax(-1).tolist())
    return found


# --------------------------------------------------------------------------------------------------- weights and caches


def test_prompts_are_shared_by_siblings_and_turns(
    base: VLMPolicy, engine: VLLMEngine, group: list[VQASample], looking: Any
) -> None:
    looking(base, engine).collect(group, PARAMS, seeds=range(len(group)))
    assert engine.cached_tokens > 0.5 * engine.prompt_tokens


def test_a_push_of_weights_changes_what_is_played_to_the_trainers(
    base: VLMPolicy, vllm_model: VLLMModel, group: list[VQASample], looking: Any, gap: Any
) -> None:
    policy = copy.deepcopy(base)
    engine = VLLMEngine(policy, vllm_model)
    collector = looking(policy, engine)
    before = collector.collect(group, PARAMS, seeds=range(len(group)))
    change_everything(policy)
    engine.update_weights(7)
    after = collector.collect(group, PARAMS, seeds=range(len(group)))
    assert gap(policy, after) <= GAP
    assert gap(policy, before) > 0.1  # the weights are others indeed
    assert tokens(before) != tokens(after)
    assert {turn.completion.version for episode in before for turn in episode.turns} == {None}
    assert {turn.completion.version for episode in after for turn in episode.turns} == {7}


def test_nothing_computed_with_older_weights_is_used_even_where_no_cache_was_emptied(
    base: VLMPolicy,
    vllm_model: VLLMModel,
    group: list[VQASample],
    looking: Any,
    gap: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = copy.deepcopy(base)
    engine = VLLMEngine(policy, vllm_model)
    collector = looking(policy, engine)
    collector.collect(group, PARAMS, seeds=range(len(group)))
    change_everything(policy)
    for cache in ("encoder", "mm", "prefix"):
        monkeypatch.setattr(vllm_model._engine, f"reset_{cache}_cache", lambda: True)
    engine.update_weights(1)
    assert gap(policy, collector.collect(group, PARAMS, seeds=range(len(group)))) <= GAP


def test_a_rollout_begins_with_the_weights_of_now_whoever_forgot_to_tell(
    base: VLMPolicy, vllm_model: VLLMModel, group: list[VQASample], looking: Any, gap: Any
) -> None:
    policy = copy.deepcopy(base)
    collector = looking(policy, VLLMEngine(policy, vllm_model))
    collector.collect(group, PARAMS, seeds=range(len(group)))
    change_everything(policy)
    assert gap(policy, collector.collect(group, PARAMS, seeds=range(len(group)))) <= GAP


def test_weights_are_not_pushed_under_turns_under_way(
    base: VLMPolicy, vllm_model: VLLMModel, engine: VLLMEngine, questions: list[VQASample], looking: Any
) -> None:
    playing = looking(base, engine).play(questions[:3], PARAMS, seeds=range(3))
    next(playing)
    if not engine.busy:
        pytest.fail("all turns are complete: nothing is under way")
    with pytest.raises(RuntimeError, match="between turns"):
        vllm_model.push(base, object())
    playing.close()
    assert not engine.busy


@pytest.mark.parametrize("targets", [["language"], ["language", "vision"]])
def test_adapters_are_pushed_merged_and_stay_as_they_are(
    base: VLMPolicy, vllm_model: VLLMModel, group: list[VQASample], looking: Any, gap: Any, targets: list[str]
) -> None:
    from medvista.policies.adapters import add_adapters
    from medvista.settings import LoRAConfig

    policy = copy.deepcopy(base)
    policy.model = add_adapters(policy.model, LoRAConfig(rank=4, targets=targets))
    for name, weights in policy.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weights, std=0.2)
    kept = {name: weights.clone() for name, weights in policy.state_dict().items()}
    played = looking(policy, VLLMEngine(policy, vllm_model)).collect(group, PARAMS, seeds=range(len(group)))
    assert gap(policy, played) <= GAP
    assert gap(base, played) > 0.1
    assert all(torch.equal(weights, kept[name]) for name, weights in policy.state_dict().items())


# ------------------------------------------------------------------------------------------------------------- refusals


def test_an_episode_longer_than_vllm_was_started_for_is_refused_and_not_cut(
    base: VLMPolicy, engine: VLLMEngine, questions: list[VQASample], looking: Any
) -> None:
    with pytest.raises(UserError, match=r"vLLM was started for 4096: raise policy\.vllm\.max_model_len"):
        looking(base, engine).collect(questions[:1], SamplingParams(max_new_tokens=5000), seeds=[0])


def test_an_image_read_as_another_number_of_tokens_is_refused(
    base: VLMPolicy,
    engine: VLLMEngine,
    questions: list[VQASample],
    looking: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine._prompts, "marked", lambda stream: list(stream.token_ids))  # expanded ids, once more
    with pytest.raises(UserError, match="vLLM reads an image as another number of tokens than the policy"):
        looking(base, engine).collect(questions[:1], PARAMS, seeds=[0])
