"""The engine that plays and the trainer that learns compute the same probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import pytest
import torch

from medvista.policies import ChatRenderer, SamplingParams, TransformersEngine, VLMPolicy
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import Observation, TrajectoryGroup, VQASample

ZOOM = '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [143, 214, 286, 357]}}</tool_call>'
WINDOW = '<tool_call>{"name": "window", "arguments": {"preset": "bone"}}</tool_call>'
STEERED: dict[Any, list[str]] = {
    "attribute": [ZOOM, WINDOW],
    "side": ["<answer>left lung</answer>"],
    "density": ["no tags: an error without an image", WINDOW],
    "yes_no": [],
}


class Steered(gymnasium.Wrapper[Observation, str, Observation, str]):
    """Takes other turns than the policy wrote, so that images come and episodes end whatever it wrote."""

    def reset(self, **options: Any) -> tuple[Observation, dict[str, Any]]:
        self.turns = iter(STEERED[options["options"]["sample"].metadata["family"]])
        return self.env.reset(**options)

    def step(self, action: str) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        return self.env.step(next(self.turns, action))


@pytest.mark.parametrize(
    ("temperature", "max_new_tokens"),
    [(1.0, 40), (1.0, 7), (0.7, 40), (1.5, 24), (0.0, 24)],
    ids=["plain", "cut", "cold", "hot", "greedy"],
)
def test_rollout_log_probs_equal_training_log_probs(
    schooled: VLMPolicy,
    questions: list[VQASample],
    make_env: Callable[[], gymnasium.Env[Observation, str]],
    temperature: float,
    max_new_tokens: int,
) -> None:
    params = SamplingParams(max_new_tokens=max_new_tokens, temperature=temperature)
    samples = [sample for sample in questions for _ in range(2)]
    collector = RolloutCollector(
        lambda: Steered(make_env()), TransformersEngine(schooled), ChatRenderer(schooled, "Tools: zoom")
    )
    episodes = collector.collect(samples, params, seeds=range(32))
    batch = ExperienceBatch.from_groups([TrajectoryGroup(trajectories=episodes[i : i + 2]) for i in range(0, 32, 2)])
    with torch.no_grad():
        scores, _ = batch.log_probs(schooled, temperature=temperature or 1.0)
    torch.testing.assert_close(scores, batch.old_log_probs, atol=1e-4, rtol=0)

    # What the agreement covers: rows of different length and number of images, of which some end while others play on.
    assert {len(episode.turns) for episode in episodes} >= {1, 3}
    assert {len(episode.stream.images) for episode in episodes} >= {1, 2, 3}
    assert len({len(episode.stream) for episode in episodes}) > 4
    reasons = {turn.completion.finish_reason for episode in episodes for turn in episode.turns}
    assert reasons >= {"length" if max_new_tokens == 7 else "stop"}
    if temperature:
        assert batch.old_log_probs[batch.loss_mask].min() < -1  # the policy is not sure of everything


def test_another_temperature_would_not_agree(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: Callable[..., RolloutCollector]
) -> None:
    episodes = make_collector(schooled).collect(questions, SamplingParams(temperature=1.5), seeds=range(16))
    batch = ExperienceBatch.from_groups([TrajectoryGroup(trajectories=episodes)])
    with torch.no_grad():
        scores, _ = batch.log_probs(schooled, temperature=1.0)
    assert (scores - batch.old_log_probs).abs().max() > 0.1
