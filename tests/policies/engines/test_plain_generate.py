"""Greedy rollouts write what transformers' own `generate` writes, turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import pytest
import torch

from medvista.data.phantom_vqa import phantom_samples
from medvista.envs import MedicalVQAEnv
from medvista.policies import ChatRenderer, SamplingParams, TransformersEngine, VLMPolicy
from medvista.policies.engines.own_rows import OwnRows
from medvista.rollout import RolloutCollector
from medvista.types import Observation, TokenStream, Trajectory, VQASample

ZOOM = '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [143, 214, 286, 357]}}</tool_call>'
WINDOW = '<tool_call>{"name": "window", "arguments": {"preset": "bone"}}</tool_call>'
TURNS = ((ZOOM, WINDOW, ""), (ZOOM, "no tags: an error without an image", ""), (WINDOW, "<answer>solid</answer>"))


class Steered(gymnasium.Wrapper[Observation, str, Observation, str]):
    """Takes turns of several kinds whatever the policy wrote, so that images come and episodes differ in length."""

    def reset(self, **options: Any) -> tuple[Observation, dict[str, Any]]:
        self.turns = iter(TURNS[options["seed"] % len(TURNS)])
        return self.env.reset(**options)

    def step(self, action: str) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        return self.env.step(next(self.turns))


def play(policy: VLMPolicy, samples: Sequence[VQASample], engine: TransformersEngine, tokens: int) -> list[Trajectory]:
    collector = RolloutCollector(
        lambda: Steered(MedicalVQAEnv(samples, view_size=32, max_turns=3)), engine, ChatRenderer(policy, "Tools: zoom")
    )
    params = SamplingParams(max_new_tokens=tokens, temperature=0)
    return collector.collect(samples, params, seeds=range(len(samples)))


def turns(stream: TokenStream) -> Iterator[tuple[int, int]]:
    """Where each run of sampled tokens begins and ends."""
    edges = [i for i in range(1, len(stream)) if stream.loss_mask[i] != stream.loss_mask[i - 1]]
    edges += [len(stream)] * (len(edges) % 2)
    return zip(edges[::2], edges[1::2], strict=True)


def plain(policy: VLMPolicy, stream: TokenStream, begin: int, tokens: int) -> list[int]:
    """What `generate` of transformers writes behind the first tokens of a stream."""
    ids = torch.tensor([stream.token_ids[:begin]])
    placeholders = ids == policy.image_token_id
    per_image = policy.count_visual_tokens(stream.images[0])
    shown = policy.family.collate(stream.images[: int(placeholders.sum()) // per_image])
    made = policy.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=placeholders.int(),
        **shown,
        max_new_tokens=tokens,
        do_sample=False,
        suppress_tokens=(~policy.allowed_ids).nonzero().flatten().tolist(),
        eos_token_id=list(policy.turn_ends.ids),
    )
    return made[0, begin:].tolist()


def assert_written_by_plain_generate(policy: VLMPolicy, episodes: Sequence[Trajectory], tokens: int) -> None:
    for episode in episodes:
        for begin, end in turns(episode.stream):
            assert plain(policy, episode.stream, begin, tokens) == list(episode.stream.token_ids[begin:end])


def test_greedy_turns_are_those_of_plain_generate(schooled: VLMPolicy, questions: list[VQASample]) -> None:
    samples = [sample for sample in questions[:8] for _ in range(3)]
    engine = TransformersEngine(schooled)
    episodes = play(schooled, samples, engine, 10)
    assert {len(episode.turns) for episode in episodes} == {2, 3}
    assert {len(episode.stream.images) for episode in episodes} == {2, 3}
    assert engine.features.encoded < engine.features.shown / 2
    assert_written_by_plain_generate(schooled, episodes, 10)


@pytest.mark.slow
def test_greedy_turns_of_200_episodes_are_those_of_plain_generate(schooled: VLMPolicy) -> None:
    samples = [sample for sample in phantom_samples("train", images=17) for _ in range(3)][:200]
    assert_written_by_plain_generate(schooled, play(schooled, samples, TransformersEngine(schooled), 24), 24)


def test_a_cache_per_episode_writes_the_same(
    schooled: VLMPolicy, questions: list[VQASample], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [sample for sample in questions[:4] for _ in range(2)]
    shared = play(schooled, samples, TransformersEngine(schooled), 10)
    monkeypatch.setattr("medvista.policies.engines.transformers.RowCache.holds", lambda config: False)
    engine = TransformersEngine(schooled)
    assert isinstance(engine.rows, OwnRows)
    own = play(schooled, samples, engine, 10)
    for one, other in zip(own, shared, strict=True):
        assert one.stream.token_ids == other.stream.token_ids
        torch.testing.assert_close(
            torch.tensor(one.stream.log_probs), torch.tensor(other.stream.log_probs), atol=1e-4, rtol=0
        )


def test_a_rollout_with_tools_in_line_is_the_same_to_the_last_bit(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: Callable[..., RolloutCollector]
) -> None:
    samples = [sample for sample in questions[:6] for _ in range(3)]
    params = SamplingParams(max_new_tokens=20)
    one, other = (make_collector(schooled).collect(samples, params, seeds=range(18)) for _ in range(2))
    assert [e.stream.token_ids for e in one] == [e.stream.token_ids for e in other]
    assert [e.stream.log_probs for e in one] == [e.stream.log_probs for e in other]
