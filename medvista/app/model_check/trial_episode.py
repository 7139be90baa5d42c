"""A short episode that any model can play: a question about a picture, and what two tools would show of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from medvista.policies import ChatRenderer, GenerationRequest, SamplingParams, TransformersEngine, VLMPolicy
from medvista.rollout import TokenBatch
from medvista.types import MedicalImage, Observation, TokenStream, Trajectory, VQASample

_SAMPLE = VQASample(
    id="trial",
    benchmark="trial",
    split="train",
    question="What is shown?",
    answers=("noise",),
    images=(),
    group_id="trial",
)
# At the temperature of training a model may be so sure of a token that no picture moves its probability.
_UNSURE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEpisode:
    """What was shown, and what the policy wrote."""

    policy: VLMPolicy
    shown: tuple[MedicalImage, ...]
    stream: TokenStream

    def log_probs(self, streams: Sequence[TokenStream], temperature: float = 1.0) -> Tensor:
        """``[rows, T]`` as the trainer computes them, each row by itself: equal rows give equal numbers."""
        with torch.no_grad():
            batch = TokenBatch.from_streams(streams).to(self.policy.device)
            return batch.log_probs(self.policy, temperature=temperature, rows_at_once=1)[0].cpu()

    def gap(self) -> Tensor:
        """Differences between engine and trainer, of every sampled token."""
        sampled = torch.tensor(self.stream.loss_mask)
        return (self.log_probs([self.stream])[0] - torch.tensor(self.stream.log_probs))[sampled].abs()

    def change_in_trainer(self) -> list[float]:
        """How far blanking each picture moves the log-probabilities of sampled tokens at most, in the trainer."""
        scores = self.log_probs([self.stream, *self._blanked()], _UNSURE)
        return [float((blanked - scores[0]).abs().max()) for blanked in scores[1:]]

    def change_in_engine(self, tokens: int) -> list[float]:
        """The same of the next tokens, in the engine."""
        streams = [self.stream, *self._blanked()]
        params = SamplingParams(max_new_tokens=tokens, temperature=_UNSURE)
        engine = TransformersEngine(self.policy)
        turns = engine.generate([_request(number, stream, (0,)) for number, stream in enumerate(streams)], params)
        engine.release()
        first, *others = turns
        return [max(abs(a - b) for a, b in zip(first.log_probs, other.log_probs, strict=False)) for other in others]

    def _blanked(self) -> list[TokenStream]:
        """The stream with one picture black, for each."""
        black = self.policy.family.see([np.zeros_like(image.pixels) for image in self.shown])
        images = self.stream.images
        return [
            replace(self.stream, images=(*images[:number], black[number], *images[number + 1 :]))
            for number in range(len(images))
        ]


def play_trial(policy: VLMPolicy, pictures: Sequence[MedicalImage], *, tools: str, tokens: int) -> TrialEpisode:
    """Plays a turn on each picture, whatever the policy writes.

    Args:
        policy: in eval mode.
        pictures: the question's, then one per tool.
        tools: what the prompt says about them.
        tokens: that each turn may have.
    """
    renderer, engine = ChatRenderer(policy, tools), TransformersEngine(policy)
    params = SamplingParams(max_new_tokens=tokens)
    (segment,) = renderer.prompt([Observation(text=_SAMPLE.question, images=(pictures[0],))])
    stream = TokenStream().append_segment(segment)
    for turn in range(len(pictures)):
        (completion,) = engine.generate([_request(0, stream, (0, turn))], params)
        stream = stream.append_completion(completion)
        if turn + 1 < len(pictures):
            seen = Observation(text=f"Image {turn + 1}: Zoom of image 0.", images=(pictures[turn + 1],))
            (segment,) = renderer.delta([seen], [completion.finish_reason == "stop"], [completion.token_ids[-1]])
            stream = stream.append_segment(segment)
    engine.release()
    return TrialEpisode(policy=policy, shown=tuple(pictures), stream=stream)


def _request(episode: int, stream: TokenStream, seed: tuple[int, ...]) -> GenerationRequest:
    start = Trajectory(sample=_SAMPLE, observation=Observation(text=_SAMPLE.question), stream=stream)
    return GenerationRequest(episode=episode, trajectory=start, seed=seed)


def noise(height: int, width: int, seed: int) -> MedicalImage:
    """A grey picture unlike any other."""
    return MedicalImage(pixels=np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8))
