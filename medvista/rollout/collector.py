"""Episodes -> trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import gymnasium

from medvista.policies.chat import ChatRenderer
from medvista.policies.engine import Engine, GenerationRequest, SamplingParams
from medvista.types import Completion, Observation, TokenSegment, Trajectory, Turn, VQASample

EnvFactory = Callable[[], "gymnasium.Env[Observation, str]"]


@dataclass(slots=True)
class _Episode:
    """One environment and the record of what happened in it."""

    env: gymnasium.Env[Observation, str]
    trajectory: Trajectory

    def step(self, completion: Completion) -> tuple[Turn, dict[str, Any]]:
        """Takes the turn in the environment; the observation is None when the episode ended."""
        observation, _, terminated, truncated, info = self.env.step(completion.text)
        ended = terminated or truncated
        turn = Turn(
            completion=completion,
            action=info["action"],
            result=info["tool_result"],
            observation=None if ended else observation,
        )
        return turn, {"stop_reason": info["stop_reason"], "reward": info["reward"]} if ended else {}


class RolloutCollector:
    """Plays episodes of many samples together.

    The engine decodes all waiting episodes as one batch; their tools then run in worker threads. Each episode has its
    own environment, used only through `reset` and `step`, so that Gymnasium wrappers work.

    Args:
        env_factory: makes one environment.
        engine: generates the turns.
        renderer: observations to tokens; None keeps no tokens (for engines that need none).
        workers: threads for environment steps; 0 steps in the calling thread, which is faster while tools take less
            than a millisecond.
    """

    def __init__(
        self, env_factory: EnvFactory, engine: Engine, renderer: ChatRenderer | None, *, workers: int = 0
    ) -> None:
        self.env_factory = env_factory
        self.engine = engine
        self.renderer = renderer
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="episode") if workers else None

    def collect(
        self, samples: Sequence[VQASample], params: SamplingParams, *, seeds: Sequence[int], policy_version: int = 0
    ) -> list[Trajectory]:
        """One finished trajectory a sample, in order.

        Args:
            samples: the questions; siblings repeat the same object.
            params: how tokens are drawn.
            seeds: one an episode; with the sample, it fixes the environment's and the engine's draws.
            policy_version: written into the trajectories.
        """
        finished = dict(self.play(samples, params, seeds=seeds, policy_version=policy_version))
        return [finished[index] for index in range(len(samples))]

    def play(
        self, samples: Sequence[VQASample], params: SamplingParams, *, seeds: Sequence[int], policy_version: int = 0
    ) -> Iterator[tuple[int, Trajectory]]:
        """What `collect` gives, each trajectory with its index, as soon as its episode has ended."""
        episodes = self._reset(samples, seeds, policy_version)
        waiting: Sequence[int] = range(len(episodes))
        try:
            while waiting:
                self._advance(episodes, waiting, params)
                yield from ((index, episodes[index].trajectory) for index in waiting if episodes[index].trajectory.done)
                waiting = [index for index in waiting if not episodes[index].trajectory.done]
        finally:
            self.engine.release()

    def _reset(self, samples: Sequence[VQASample], seeds: Sequence[int], policy_version: int) -> list[_Episode]:
        envs = [self.env_factory() for _ in samples]
        starts = self._map(
            lambda env, sample, seed: env.reset(seed=seed, options={"sample": sample})[0], envs, samples, seeds
        )
        trajectories = [
            Trajectory(sample=sample, observation=start, seed=seed, policy_version=policy_version)
            for sample, start, seed in zip(samples, starts, seeds, strict=True)
        ]
        if self.renderer is not None:
            # Siblings begin with the same observation: it is rendered, and its images are kept, once.
            unique = {id(t.sample): t.observation for t in trajectories}
            prompts = dict(zip(unique, self.renderer.prompt(list(unique.values())), strict=True))
            trajectories = [replace(t, stream=t.stream.append_segment(prompts[id(t.sample)])) for t in trajectories]
        return [_Episode(env, trajectory) for env, trajectory in zip(envs, trajectories, strict=True)]

    def _advance(self, episodes: list[_Episode], waiting: Sequence[int], params: SamplingParams) -> None:
        """One turn of every waiting episode."""
        active = [episodes[index] for index in waiting]
        requests = [
            GenerationRequest(
                episode=index,
                trajectory=episode.trajectory,
                seed=(episode.trajectory.seed, len(episode.trajectory.turns)),
            )
            for index, episode in zip(waiting, active, strict=True)
        ]
        completions = self.engine.generate(requests, params)
        steps = self._map(_Episode.step, active, completions)
        segments = iter(self._deltas([turn for turn, _ in steps]))
        for episode, (turn, ending) in zip(active, steps, strict=True):
            segment = next(segments, None) if turn.observation is not None else None
            episode.trajectory = episode.trajectory.extend(turn, segment, **ending)

    def _deltas(self, turns: Sequence[Turn]) -> list[TokenSegment]:
        """What follows each turn after which the episode goes on."""
        if self.renderer is None:
            return []
        seen = [(turn.observation, turn.completion) for turn in turns if turn.observation is not None]
        closed = [completion.finish_reason == "stop" for _, completion in seen]
        return self.renderer.delta([observation for observation, _ in seen], closed)

    def _map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        return list((self._pool.map if self._pool else map)(function, *arguments))
