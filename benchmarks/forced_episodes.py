"""Episodes whose tool calls are the same whatever the policy writes, so that equal work is compared."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch

from medvista.data.expert import ScriptedExpert
from medvista.data.phantom_vqa import phantom_samples
from medvista.envs import MedicalVQAEnv
from medvista.parsing import format_action
from medvista.policies import ChatRenderer, NanoConfig, SamplingParams, TransformersEngine, VLMPolicy, build_nano
from medvista.rollout import RolloutCollector
from medvista.types import FinalAnswer, Observation, ToolCall, Trajectory, VQASample

VIEW_SIZE = NanoConfig().view_size
BOXES = ([143, 214, 286, 357], [500, 500, 900, 900], [0, 0, 400, 400], [600, 100, 900, 300])
ANSWER = format_action(FinalAnswer(text="solid"))


class Forced(gymnasium.Wrapper[Observation, str, Observation, str]):
    """Zooms a number of times, then answers; each zoom takes as long as a tool would.

    Args:
        env: that is stepped.
        looks: zooms before the answer.
        tool_ms: milliseconds that a zoom takes longer than it does.
        mixed: whether it takes anything from nothing to `tool_ms`, drawn per call.
    """

    def __init__(self, env: gymnasium.Env[Observation, str], looks: int, tool_ms: float = 0, mixed: bool = False):
        super().__init__(env)
        self.looks, self.tool_ms, self.mixed = looks, tool_ms, mixed

    def reset(self, **options: Any) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode; its seed fixes how long the tools take."""
        self.turn, self.rng = 0, np.random.default_rng(options["seed"])
        return self.env.reset(**options)

    def step(self, action: str) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Takes the next turn of the plan instead of the policy's."""
        turn, self.turn = self.turn, self.turn + 1
        if turn >= self.looks:
            return self.env.step(ANSWER)
        if self.tool_ms:
            time.sleep(self.tool_ms / 1000 * (self.rng.random() if self.mixed else 1))
        return self.env.step(format_action(ToolCall(name="zoom", arguments={"bbox_2d": BOXES[turn % len(BOXES)]})))


@dataclass(frozen=True, kw_only=True)
class Played:
    """What a rollout took."""

    seconds: float
    cpu_s: float  # of this process, all threads
    encodes_per_image: float  # passes of the vision tower per distinct image
    fed_per_token: float  # tokens fed to the model per distinct one, siblings' prompts counted once


class Rollouts:
    """Plays the same episodes again and again with one engine and one collector.

    Args:
        policy: that writes the turns, which nobody reads.
        samples: questions, one per group.
        siblings: episodes of each.
        looks: zooms before the answer.
        tokens: of one turn at most.
        tool_ms: see `Forced`.
        mixed: see `Forced`.
    """

    def __init__(
        self,
        policy: VLMPolicy,
        samples: Sequence[VQASample],
        *,
        siblings: int,
        looks: int,
        tokens: int = 24,
        tool_ms: float = 0,
        mixed: bool = False,
    ) -> None:
        def make_env() -> Forced:
            return Forced(MedicalVQAEnv(samples, view_size=VIEW_SIZE, max_turns=looks + 1), looks, tool_ms, mixed)

        self.engine = TransformersEngine(policy)
        self.collector = RolloutCollector(make_env, self.engine, ChatRenderer(policy, "Tools: zoom"), workers=None)
        self.samples = [sample for sample in samples for _ in range(siblings)]
        self.siblings = siblings
        self.params = SamplingParams(max_new_tokens=tokens)

    def play(self) -> Played:
        """One rollout, timed."""
        fed, encoded = self.engine.fed_tokens, self.engine.features.encoded
        wall, cpu = time.perf_counter(), time.process_time()
        episodes = self.collector.collect(self.samples, self.params, seeds=range(len(self.samples)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Played(
            seconds=wall,
            cpu_s=cpu,
            encodes_per_image=(self.engine.features.encoded - encoded) / distinct_images(episodes),
            fed_per_token=(self.engine.fed_tokens - fed) / distinct_tokens(episodes, self.siblings),
        )


def distinct_images(episodes: Sequence[Trajectory]) -> int:
    """How many different pictures the policy was shown."""
    return len({image["pixel_values"].numpy().tobytes() for episode in episodes for image in episode.stream.images})


def distinct_tokens(episodes: Sequence[Trajectory], siblings: int) -> int:
    """Tokens of all streams, the prompt of siblings counted once; the last of each is never fed."""
    prompts = [episode.stream.loss_mask.index(True) for episode in episodes]
    return sum(len(episode.stream) - 1 for episode in episodes) - sum(
        prompt for number, prompt in enumerate(prompts) if number % siblings
    )


def questions(count: int) -> list[VQASample]:
    """Questions about as many phantoms."""
    samples = phantom_samples("train", images=count)
    by_image = {sample.group_id: sample for sample in samples}
    return list(by_image.values())[:count]


def random_nano(samples: Sequence[VQASample], config: NanoConfig | None = None) -> VLMPolicy:
    """A nano policy with random weights, whose turns mostly run to the end of their budget."""
    plans = [text for sample in samples for text in ScriptedExpert().plan(sample, 0)]
    with torch.random.fork_rng(devices=[]):
        return build_nano([sample.question for sample in samples] + plans, config).eval()
