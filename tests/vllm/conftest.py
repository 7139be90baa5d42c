"""A policy inside vLLM, started once; where vLLM is not installed, nothing here is collected."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import pytest

from medvista.types import Observation, Reward, Trajectory, VQASample

if TYPE_CHECKING:
    from medvista.policies import Engine, VLLMModel, VLMPolicy
    from medvista.rollout import RolloutCollector

collect_ignore_glob = ["test_*.py"] if importlib.util.find_spec("vllm") is None else []

NANO = Path(__file__).parents[2] / "medvista" / "assets" / "nano"
CALLS = ([143, 214, 286, 357], [500, 500, 900, 900], [0, 100, 300, 400])


class Looking(gymnasium.Wrapper[Observation, str, Observation, str]):
    """Zooms twice and then answers, whatever the policy wrote: three turns, with an image before each."""

    def reset(self, **options: Any) -> tuple[Observation, dict[str, Any]]:
        first = options["seed"] % len(CALLS)
        boxes = [CALLS[first], CALLS[first - 1]]
        calls = [f'<tool_call>{{"name": "zoom", "arguments": {{"bbox_2d": {box}}}}}</tool_call>' for box in boxes]
        self.turns = iter([*calls, "<answer>solid</answer>"])
        return self.env.reset(**options)

    def step(self, action: str) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        return self.env.step(next(self.turns))


@pytest.fixture(scope="session")
def base() -> VLMPolicy:
    """The shipped model of 0.9 million parameters; copy it before changing a weight."""
    from medvista.policies import VLMPolicy

    return VLMPolicy.from_pretrained(NANO).eval()


@pytest.fixture(scope="session")
def vllm_model(base: VLMPolicy) -> Iterator[VLLMModel]:
    """The vLLM of all tests."""
    from medvista.policies import VLLMModel
    from medvista.settings import VLLMConfig

    model = VLLMModel(base, VLLMConfig())
    yield model
    model.close()


@pytest.fixture(scope="session")
def looking(questions: list[VQASample]) -> Callable[[VLMPolicy, Engine], RolloutCollector]:
    """From a policy and an engine to a collector of episodes of three turns with images."""
    from medvista.envs import MedicalVQAEnv
    from medvista.policies import ChatRenderer
    from medvista.rollout import RolloutCollector

    def make(policy: VLMPolicy, engine: Engine) -> RolloutCollector:
        renderer = ChatRenderer(policy, "Tools: zoom")

        def by_lot(episode: Trajectory) -> Reward:
            return Reward(total=episode.seed % 97 / 97, terms={})

        def make_env() -> Looking:
            return Looking(MedicalVQAEnv(questions, reward_fn=by_lot, view_size=64, max_turns=3))

        return RolloutCollector(make_env, engine, renderer)

    return make


@pytest.fixture(scope="session")
def gap() -> Callable[[VLMPolicy, Sequence[Trajectory], float], float]:
    """The largest difference between an engine's log-probability of a sampled token and the trainer's."""
    import torch

    from medvista.rollout import TokenBatch

    @torch.no_grad()
    def measure(policy: VLMPolicy, episodes: Sequence[Trajectory], temperature: float = 1.0) -> float:
        played = TokenBatch.from_streams([episode.stream for episode in episodes])
        scored = played.log_probs(policy, temperature=temperature)[0]
        found = [
            (scored[row, : len(episode.stream)] - torch.tensor(episode.stream.log_probs)).abs().max().item()
            for row, episode in enumerate(episodes)
        ]
        return max(found)

    return measure
