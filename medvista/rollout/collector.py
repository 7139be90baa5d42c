"""Episodes -> trajectories."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import gymnasium

from medvista.policies import ChatRenderer, Engine, GenerationRequest, SamplingParams
from medvista.rollout.step_times import StepTimes
from medvista.rollout.steps import AdaptiveSteps, InlineSteps, Steps, ThreadedSteps
from medvista.types import Completion, Observation, TokenSegment, Trajectory, Turn, VQASample

EnvFactory = Callable[[], "gymnasium.Env[Observation, str]"]
_Step: TypeAlias = tuple[Turn, dict[str, Any]]  # the turn, and how the episode ended if it did

_WAIT_S, _LONG_WAIT_S = 0.01, 1.0


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

    Each episode goes its own way: when its turn is complete its tool runs, in line or in a worker thread, and with what
    the tool found it joins those that the engine is generating for. Nobody waits for a slow tool but its own episode.
    Each episode has its own environment, used only through `reset` and `step`, so that Gymnasium wrappers work.

    Args:
        env_factory: makes one environment.
        engine: generates the turns.
        renderer: observations to tokens; None keeps no tokens (for engines that need none).
        workers: threads for environment steps at most; 0 steps in the calling thread, so that a rollout is the same to
            the last bit each time; None takes them one after another, too, while they are quick, and up to one thread
            per episode when they turn out slow.
        patience_s: see `ThreadedSteps`.
    """

    def __init__(
        self,
        env_factory: EnvFactory,
        engine: Engine,
        renderer: ChatRenderer | None,
        *,
        workers: int | None = 0,
        patience_s: float | None = None,
    ) -> None:
        self.env_factory = env_factory
        self.engine = engine
        self.renderer = renderer
        self.workers = workers
        self.patience_s = patience_s
        self.step_times = StepTimes()
        self.environment_s = 0.0  # seconds in which environments, and their tools, were waited for

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
            self._ask(episodes, range(len(episodes)), params)
            running = len(episodes)
            while running:
                self._act(steps, episodes)
                answered = self._observe(steps, episodes)
                ended = [index for index in answered if episodes[index].trajectory.done]
                self.engine.release(ended)
                self._ask(episodes, [index for index in answered if index not in ended], params)
                running -= len(ended)
                yield from ((index, episodes[index].trajectory) for index in ended)
        finally:
            steps.close()
            self.engine.release()

    def _steps(self, episodes: int) -> Steps[_Step]:
        if self.workers == 0:
            return InlineSteps()
        if self.workers is None:
            return AdaptiveSteps(episodes, self.step_times, self.patience_s)
        return ThreadedSteps(min(self.workers, episodes), self.patience_s)

    def _reset(
        self, steps: Steps[_Step], samples: Sequence[VQASample], seeds: Sequence[int], policy_version: int
    ) -> list[_Episode]:
        envs = [self.env_factory() for _ in samples]
        with self._waiting():
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

    def _ask(self, episodes: list[_Episode], waiting: Sequence[int], params: SamplingParams) -> None:
        """Asks the engine for the next turn of some episodes."""
        requests = [
            GenerationRequest(
                episode=index,
                trajectory=episodes[index].trajectory,
                seed=(episodes[index].trajectory.seed, len(episodes[index].trajectory.turns)),
            )
            for index in waiting
        ]
        if requests:
            self.engine.submit(requests, params)

    def _act(self, steps: Steps[_Step], episodes: list[_Episode]) -> None:
        """Turns that the engine has completed, begun in their environments."""
        # While tools run, an engine that others compute for is not waited for longer than their results may wait.
        for index, completion in self.engine.poll(wait_s=_WAIT_S if steps.under_way else _LONG_WAIT_S):
            with self._waiting():
                steps.start(index, partial(episodes[index].step, completion))

    def _observe(self, steps: Steps[_Step], episodes: list[_Episode]) -> list[int]:
        """Extends the trajectories whose environments have answered; their indices."""
        with self._waiting():
            answered = steps.take(wait=not self.engine.busy)
        segments = iter(self._deltas([turn for _, (turn, _) in answered]))
        for index, (turn, ending) in answered:
            segment = next(segments, None) if turn.observation is not None else None
            episodes[index].trajectory = episodes[index].trajectory.extend(turn, segment, **ending)
        return [index for index, _ in answered]

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.environment_s += time.perf_counter() - begun

    def _deltas(self, turns: Sequence[Turn]) -> list[TokenSegment]:
        """What follows each turn after which the episode goes on."""
        if self.renderer is None:
            return []
        seen = [(turn.observation, turn.completion) for turn in turns if turn.observation is not None]
        closed = [completion.finish_reason == "stop" for _, completion in seen]
        ends = [completion.token_ids[-1] if completion.token_ids else -1 for _, completion in seen]
        return self.renderer.delta([observation for observation, _ in seen], closed, ends)
