"""The token stream of an episode: what carries loss, images in step with their placeholders, growth at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import pytest
import torch

from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.errors import UserError
from medvista.policies import ChatRenderer, SamplingParams, ScriptedPolicy, TransformersEngine, VLMPolicy
from medvista.rollout import RolloutCollector, tokenize_trajectory
from medvista.types import TokenStream, Trajectory, VQASample

MakeCollector = Callable[..., RolloutCollector]

ZOOM = '<think>Look.</think><tool_call>{"name": "zoom", "arguments": {"bbox_2d": [143, 214, 286, 357]}}</tool_call>'
WINDOW = '<tool_call>{"name": "window", "arguments": {"preset": "bone"}}</tool_call>'
ANSWER = "<think>It is solid.</think><answer>solid</answer>"
HEAD, END = "<|im_start|>assistant\n", "<|im_end|>"
IMAGE = "<|vision_start|>" + 4 * "<|image_pad|>" + "<|vision_end|>"


def scripted(make: MakeCollector, policy: VLMPolicy, sample: VQASample, *turns: str) -> Trajectory:
    engine = ScriptedPolicy(lambda t: turns[len(t.turns)], tokenizer=policy.tokenizer)
    (episode,) = make(policy, engine).collect([sample], SamplingParams(), seeds=[0])
    return episode


def assert_same_streams(one: TokenStream, other: TokenStream) -> None:
    assert (one.token_ids, one.loss_mask, one.log_probs) == (other.token_ids, other.loss_mask, other.log_probs)
    assert len(one.images) == len(other.images)
    for mine, theirs in zip(one.images, other.images, strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_loss_mask_of_a_two_tool_episode_is_right_token_by_token(
    nano: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    episode = scripted(make_collector, nano, questions[0], ZOOM, WINDOW, ANSWER)
    stream = episode.stream
    pieces = [
        (carries_loss, nano.tokenizer.decode([token for token, _ in run]))
        for carries_loss, run in groupby(zip(stream.token_ids, stream.loss_mask, strict=True), key=lambda pair: pair[1])
    ]
    zoomed, windowed = (turn.observation.text for turn in episode.turns[:2] if turn.observation)
    assert pieces == [
        (False, f"<|im_start|>user\n{IMAGE}What kind is the nodule?\nTools: zoom{END}\n{HEAD}"),
        (True, ZOOM + END),
        (False, f"\n<|im_start|>user\n{IMAGE}{zoomed}{END}\n{HEAD}"),
        (True, WINDOW + END),
        (False, f"\n<|im_start|>user\n{IMAGE}{windowed}{END}\n{HEAD}"),
        (True, ANSWER + END),
    ]
    assert zoomed.startswith("Image 1: ")
    assert windowed.startswith("Image 2: ")


def test_tokens_that_were_not_sampled_have_no_log_probability(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    for episode in make_collector(schooled).collect(questions, SamplingParams(max_new_tokens=24), seeds=range(16)):
        stream = episode.stream
        assert all(p == 0 for p, sampled in zip(stream.log_probs, stream.loss_mask, strict=True) if not sampled)
        written = [i for i, sampled in zip(stream.token_ids, stream.loss_mask, strict=True) if sampled]
        assert written == [i for turn in episode.turns for i in turn.completion.token_ids]


def test_streams_only_grow_and_their_images_keep_step_with_the_placeholders(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: MakeCollector
) -> None:
    seen: dict[str, list[TokenStream]] = defaultdict(list)

    def watch(trajectory: Trajectory) -> None:
        seen[trajectory.sample.id].append(trajectory.stream)

    watching = ScriptedPolicy(watch, otherwise=TransformersEngine(schooled))
    for episode in make_collector(schooled, watching).collect(questions, SamplingParams(), seeds=range(16)):
        watch(episode)
    assert max(map(len, seen.values())) == 4  # three turns and the end
    for streams in seen.values():
        for earlier, later in pairwise(streams):
            assert later.token_ids[: len(earlier)] == earlier.token_ids
            assert later.loss_mask[: len(earlier)] == earlier.loss_mask
            assert all(a is b for a, b in zip(earlier.images, later.images, strict=False))
        for stream in streams:
            assert stream.token_ids.count(schooled.image_token_id) == sum(
                features(schooled, im) for im in stream.images
            )


def features(policy: VLMPolicy, image: object) -> int:
    """How many visual tokens the model's own vision tower makes of an image."""
    pixels, grid = image["pixel_values"], image["image_grid_thw"]  # type: ignore[index]
    return len(policy.vision_tower(pixels, grid_thw=grid).pooler_output)


def test_a_recorded_episode_has_the_stream_of_its_rollout_before_and_after_a_file(
    nano: VLMPolicy, demonstrations: list[Trajectory], make_collector: MakeCollector, tmp_path: Path
) -> None:
    episode = scripted(make_collector, nano, demonstrations[0].sample, ZOOM, "no tags, so an error", ANSWER)
    episodes = [episode, *demonstrations]
    renderer = ChatRenderer(nano, "Tools: zoom")
    write_trajectories(tmp_path / "d.jsonl", episodes)
    for original, back in zip(episodes, read_trajectories(tmp_path / "d.jsonl"), strict=True):
        assert_same_streams(tokenize_trajectory(original, renderer), original.stream)
        assert_same_streams(tokenize_trajectory(back, renderer), original.stream)


@pytest.mark.parametrize("token", ["<|image_pad|>", "<|vision_start|>", "<|video_pad|>", "<|im_start|>"])
def test_a_demonstrated_token_that_may_never_be_sampled_is_refused(
    nano: VLMPolicy, demonstrations: list[Trajectory], token: str
) -> None:
    whole = demonstrations[0]
    last = replace(whole.turns[-1], completion=replace(whole.turns[-1].completion, text=f"<answer>{token}</answer>"))
    poisoned = replace(whole, turns=(*whole.turns[:-1], last))
    with pytest.raises(UserError) as told:
        tokenize_trajectory(poisoned, ChatRenderer(nano, "Tools: zoom"))
    assert f"question {whole.sample.id}, has {token!r} in turn {len(whole.turns)}" in str(told.value)


def test_a_turn_that_the_token_budget_cut_is_not_taught_to_end_there(
    nano: VLMPolicy, demonstrations: list[Trajectory], tmp_path: Path
) -> None:
    whole = demonstrations[0]
    cut_turn = replace(whole.turns[0], completion=replace(whole.turns[0].completion, finish_reason="length"))
    write_trajectories(tmp_path / "d.jsonl", [replace(whole, turns=(cut_turn, *whole.turns[1:]))])
    (back,) = read_trajectories(tmp_path / "d.jsonl")
    stream = tokenize_trajectory(back, ChatRenderer(nano, "Tools: zoom"))
    assert stream.token_ids == whole.stream.token_ids  # the turn is closed either way ...
    changed = [i for i in range(len(stream)) if stream.loss_mask[i] != whole.stream.loss_mask[i]]
    assert len(changed) == 1  # ... but its end carries no loss: the policy did not write it
    assert stream.token_ids[changed[0]] == nano.tokenizer.eos_token_id
    assert not stream.loss_mask[changed[0]]


@pytest.mark.parametrize("workers", [0, 3])
def test_siblings_share_their_prompt_and_its_image_tensors(
    nano: VLMPolicy, questions: list[VQASample], make_env: Callable[..., object], workers: int
) -> None:
    engine = ScriptedPolicy(lambda t: ANSWER, tokenizer=nano.tokenizer)
    collector = RolloutCollector(make_env, engine, ChatRenderer(nano), workers=workers)  # type: ignore[arg-type]
    episodes = collector.collect(
        [questions[0]] * 3 + [questions[5]], SamplingParams(), seeds=range(4), policy_version=7
    )
    assert episodes[0].stream.images[0] is episodes[2].stream.images[0]
    assert episodes[0].stream.images[0] is not episodes[3].stream.images[0]
    assert [episode.sample.id for episode in episodes] == [questions[i].id for i in (0, 0, 0, 5)]
    assert [(episode.seed, episode.policy_version) for episode in episodes] == [(i, 7) for i in range(4)]


def test_without_a_renderer_episodes_are_played_in_text_alone(
    questions: list[VQASample], make_env: Callable[..., object]
) -> None:
    collector = RolloutCollector(make_env, ScriptedPolicy(lambda t: ANSWER), None)  # type: ignore[arg-type]
    (episode,) = collector.collect([questions[0]], SamplingParams(), seeds=[0])
    assert len(episode.stream) == 0
    assert episode.answer == "solid"
    assert episode.reward is not None
