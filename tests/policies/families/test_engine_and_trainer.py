"""Every family: engine and trainer compute the same over turns with images, and each image is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from medvista.policies import ChatRenderer, GenerationRequest, SamplingParams, TransformersEngine, VLMPolicy
from medvista.rollout import TokenBatch
from medvista.types import MedicalImage, Observation, TokenStream, Trajectory, VQASample
from tests.policies.families.tiny_families import PARAMS, build

SAMPLING = SamplingParams(max_new_tokens=5)


@dataclass(frozen=True)
class Row:
    """What one episode is shown, turn by turn."""

    observations: tuple[Observation, ...]


def picture(height: int, width: int, seed: int) -> MedicalImage:
    return MedicalImage(pixels=np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8))


ROWS = (
    Row(
        (
            Observation(text="What is it?", images=(picture(48, 48, 0),)),
            Observation(text="Zoom of image 0.", images=(picture(20, 60, 1),)),
            Observation(text="Window 30.", images=(picture(64, 30, 2), picture(32, 32, 3))),
        )
    ),
    Row(
        (
            Observation(text="Is the solid region left of it? " * 3, images=(picture(30, 64, 4), picture(64, 64, 5))),
            Observation(text="Error in call."),
            Observation(text="Zoom of image 1.", images=(picture(33, 47, 6),)),
        )
    ),
    Row(
        (
            Observation(text="yes or no?"),
            Observation(text="no call " * 9),
            Observation(text="Zoom", images=(picture(16, 16, 7),)),
        )
    ),
)


@pytest.fixture(scope="module", params=PARAMS)
def policy(request: pytest.FixtureRequest) -> VLMPolicy:
    return build(request.param)


@pytest.fixture(scope="module")
def episodes(policy: VLMPolicy, questions: list[VQASample]) -> list[Trajectory]:
    """Three turns of three episodes, played side by side."""
    return play(policy, ROWS, questions[0])


def play(policy: VLMPolicy, rows: Sequence[Row], sample: VQASample) -> list[Trajectory]:
    renderer, engine = ChatRenderer(policy, "Tools: zoom"), TransformersEngine(policy)
    streams = [TokenStream().append_segment(segment) for segment in renderer.prompt([r.observations[0] for r in rows])]
    for turn in range(3):
        requests = [
            GenerationRequest(
                episode=number,
                trajectory=Trajectory(sample=sample, observation=row.observations[0], stream=stream),
                seed=(number, turn),
            )
            for number, (row, stream) in enumerate(zip(rows, streams, strict=True))
        ]
        completions = engine.generate(requests, SAMPLING)
        streams = [stream.append_completion(c) for stream, c in zip(streams, completions, strict=True)]
        if turn < 2:
            closed, ends = [c.finish_reason == "stop" for c in completions], [c.token_ids[-1] for c in completions]
            deltas = renderer.delta([row.observations[turn + 1] for row in rows], closed, ends)
            streams = [stream.append_segment(delta) for stream, delta in zip(streams, deltas, strict=True)]
    return [
        Trajectory(sample=sample, observation=row.observations[0], stream=stream)
        for row, stream in zip(rows, streams, strict=True)
    ]


def test_engine_and_trainer_agree_over_three_turns_with_images_beside_rows_of_other_lengths(
    policy: VLMPolicy, episodes: list[Trajectory]
) -> None:
    batch = TokenBatch.from_streams([episode.stream for episode in episodes])
    with torch.no_grad():
        scores, _ = batch.log_probs(policy)
    for row, episode in enumerate(episodes):
        recorded = torch.tensor(episode.stream.log_probs)
        torch.testing.assert_close(scores[row, : len(recorded)], recorded, atol=1e-4, rtol=0)


def test_an_episode_is_the_same_alone_as_among_others(
    policy: VLMPolicy, episodes: list[Trajectory], questions: list[VQASample]
) -> None:
    (alone,) = play(policy, ROWS[:1], questions[0])
    assert alone.stream.token_ids == episodes[0].stream.token_ids


def test_each_image_that_is_blanked_changes_what_follows_in_the_trainer_and_in_the_engine(
    policy: VLMPolicy, episodes: list[Trajectory]
) -> None:
    shown = [image for observation in ROWS[1].observations for image in observation.images]
    stream = episodes[1].stream
    blank = policy.family.see([np.zeros_like(image.pixels) for image in shown])
    variants = [stream]
    for number in range(len(shown)):
        images = tuple(blank[i] if i == number else image for i, image in enumerate(stream.images))
        variants.append(replace(stream, images=images))
    with torch.no_grad():
        scores, _ = TokenBatch.from_streams(variants).log_probs(policy)
    trained = (scores[1:] - scores[0]).abs().amax(dim=1)
    requests = [
        GenerationRequest(episode=number, trajectory=replace(episodes[1], stream=variant), seed=(0,))
        for number, variant in enumerate(variants)
    ]
    next_tokens = TransformersEngine(policy).generate(requests, SamplingParams(max_new_tokens=1))
    sampled = torch.tensor([completion.log_probs[0] for completion in next_tokens])
    assert (trained > 1e-4).all()
    assert ((sampled[1:] - sampled[0]).abs() > 1e-4).all()
