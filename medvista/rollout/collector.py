"""Episodes -> trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import gymnasium

from medvista.policies import ChatRenderer, Engine, GenerationRequest, SamplingParams
from medvista.rollout.steps import InlineSteps, Steps, ThreadedSteps
from medvista.types import Completion, Observation, TokenSegment, Trajectory, Turn, VQASample

EnvFactory = Callable[[], "gymnasium.Env[Observation, str]"]
_Step: TypeAlias = tuple[Turn, dict[str, Any]]  # the turn, and how the episode ended if it did


@dataclass(slots=True)
class _Episode:
    """One environment and the record of what happened in it."""

    env: gymnasium.Env[Observation, str]
    trajectory: Trajectory

    def step(self, completion: Completion) -> _Step:
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

    The engine decodes all waiting episodes as one batch; their tools then run, in line or in worker threads. With
    threads an episode whose tool is slow is left behind: the others' next turns are decoded and their tools started
    without it, and it joins again when its tool is done. Each episode has its own environment, used only through
    `reset` and `step`, so that Gymnasium wrappers work.

    Args:
        env_factory: makes one environment.
        engine: generates the turns.
        renderer: observations to tokens; None keeps no tokens (for engines that need none).
        workers: threads for environment steps at most; None takes one per episode, so that none waits for another's
            tool; 0 steps in the calling thread, which is faster while tools take less than a millisecond.
        patience_s: see `ThreadedSteps`.
    """

    def __init__(
        self,
        env_factory: EnvFactory,
        engine: Engine,
        renderer: ChatRenderer | None,
        *,
        workers: int | None = 0,
        patience_s: float = 0.05,
    ) -> None:
        self.env_factory = env_factory
        self.engine = engine
        self.renderer = renderer
        self.workers = workers
        self.patience_s = patience_s

    def collect(
        self, samples: Sequence[VQASample], params: SamplingParams, *, seeds: Sequence[int], policy_version: int = 0
    ) -> list[Trajectory]:
        """One finished trajectory per sample, in order.

        Args:
            samples: the questions; siblings repeat the same object.
            params: how tokens are drawn.
            seeds: one per episode; with the sample, it fixes the environment's and the engine's draws.
            policy_version: written into the trajectories.
        """
        finished = dict(self.play(samples, params, seeds=seeds, policy_version=policy_version))
        return [finished[index] for index in range(len(samples))]

    def play(
        self, samples: Sequence[VQASample], params: SamplingParams, *, seeds: Sequence[int], policy_version: int = 0
    ) -> Iterator[tuple[int, Trajectory]]:
        """What `collect` gives, each trajectory with its index, as soon as its episode has ended."""
        if not samples:  # a process whose share is empty
            return
        steps = self._steps(len(samples))
        try:
            episodes = self._reset(steps, samples, seeds, policy_version)
            running = len(episodes)
            waiting: Sequence[int] = range(running)
            while running:
                if waiting:
                    self._act(steps, episodes, waiting, params)
                answered = self._observe(steps, episodes)
                waiting = [index for index in answered if not episodes[index].trajectory.done]
                running -= len(answered) - len(waiting)
                yield from ((i, episodes[i].trajectory) for i in answered if episodes[i].trajectory.done)
        finally:
            steps.close()
            self.engine.release()

    def _steps(self, episodes: int) -> Steps[_Step]:
        if self.workers == 0:
            return InlineSteps()
        return ThreadedSteps(min(self.workers or episodes, episodes), self.patience_s)

    def _reset(
        self, steps: Steps[_Step], samples: Sequence[VQASample], seeds: Sequence[int], policy_version: int
    ) -> list[_Episode]:
        envs = [self.env_factory() for _ in samples]
        starts = steps.map(
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

    def _act(
        self, steps: Steps[_Step], episodes: list[_Episode], waiting: Sequence[int], params: SamplingParams
    ) -> None:
        """The next turn of every waiting episode, begun in its environment."""
        active = [episodes[index] for index in waiting]
        requests = [
            GenerationRequest(
                episode=index,
                trajectory=episode.trajectory,
                seed=(episode.trajectory.seed, len(episode.trajectory.turns)),
            )
            for index, episode in zip(waiting, active, strict=True)
        ]
        for index, episode, completion in zip(waiting, active, self.engine.generate(requests, params), strict=True):
            steps.start(index, partial(episode.step, completion))

    def _observe(self, steps: Steps[_Step], episodes: list[_Episode]) -> list[int]:
        """Extends the trajectories whose environments have answered; their indices."""
        answered = steps.take()
        segments = iter(self._deltas([turn for _, (turn, _) in answered]))
        for index, (turn, ending) in answered:
            segment = next(segments, None) if turn.observation is not None else None
            episodes[index].trajectory = episodes[index].trajectory.extend(turn, segment, **ending)
        return [index for index, _ in answered]

    def _deltas(self, turns: Sequence[Turn]) -> list[TokenSegment]:
        """What follows each turn after which the episode goes on."""
        if self.renderer is None:
            return []
        seen = [(turn.observation, turn.completion) for turn in turns if turn.observation is not None]
        closed = [completion.finish_reason == "stop" for _, completion in seen]
        ends = [completion.token_ids[-1] if completion.token_ids else -1 for _, completion in seen]
        return self.renderer.delta([observation for observation, _ in seen], closed, ends)
