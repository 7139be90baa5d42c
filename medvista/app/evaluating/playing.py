"""Arms -> episodes on disk: every test question once, whoever shares the work and whatever interrupts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from tqdm import tqdm

from medvista.app.arms import Arm
from medvista.app.build import Parts
from medvista.data.trajectories import read_trajectories
from medvista.evaluation.numbers.counterfactuals import donors, recorded_turns, shown_a_result
from medvista.evaluation.numbers.results import Mode
from medvista.evaluation.playing.episode_log import EpisodeLog
from medvista.evaluation.playing.evaluator import play_questions
from medvista.evaluation.playing.guessers import MajorityAnswer, QuestionLookup
from medvista.evaluation.playing.shard import Shard
from medvista.policies import SamplingParams, ScriptedPolicy, VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.tools import BlankResults, RandomRegions, ShuffledResults, Toolbox
from medvista.types import Trajectory, VQASample

Episodes = dict[tuple[str, str, Mode], list[Trajectory]]  # arm, benchmark, mode
Replays = dict[tuple[str, str, str], dict[str, Trajectory]]  # arm, benchmark, change -> replayed episodes by question

_TEMPERATURE: Mapping[str, float] = {"greedy": 0.0, "sampled": 1.0}
_FITTED: Mapping[str, type[MajorityAnswer] | type[QuestionLookup]] = {
    "majority": MajorityAnswer,
    "lookup": QuestionLookup,
}


class Policies(Protocol):
    """Where the policies of arms come from."""

    def policy(self, name: str) -> VLMPolicy | None:
        """The policy of a stage; None for one behind an endpoint."""


class Player:
    """Plays arms on the test questions; what is on disk already is not played again.

    Args:
        parts: the objects of the run.
        policies: gives the policy of an arm's stage.
        arms: what is played, by name.
    """

    def __init__(self, parts: Parts, policies: Policies, arms: Mapping[str, Arm]) -> None:
        self.parts, self.policies, self.arms = parts, policies, arms
        self.config = parts.config
        self.shard = Shard.current()

    def play(self) -> Episodes:
        """Every arm's episodes on the same questions, without the pixels they showed."""
        modes = [cast(Mode, mode) for mode in self.config.evaluation.modes]
        jobs = [(arm, mode, name) for arm in self.arms for mode in modes for name in self._asked(arm)]
        played: Episodes = {}
        for arm, mode, benchmark in jobs:
            samples = self.parts.test[benchmark]
            path = trajectories_path(self.config.output_dir, benchmark, arm, mode)
            self._play(path, samples, partial(self._collector, self.arms[arm], samples), mode=mode)
            played[arm, benchmark, mode] = self._read(path, samples)
        return played

    def replay(self, arm: str, episodes: Episodes) -> Replays:
        """The greedy episodes of an arm in which a tool showed something, with something else shown in its place."""
        changes = self.config.evaluation.counterfactuals
        tested = [name for name in self.parts.test if (arm, name, "greedy") in episodes]
        return {(arm, name, change): self._replay(arm, name, change) for name in tested for change in changes}

    def _replay(self, arm: str, benchmark: str, change: str) -> dict[str, Trajectory]:
        run = self.config.output_dir
        asked = {sample.id: sample for sample in self.parts.test[benchmark]}
        true = list(read_trajectories(trajectories_path(run, benchmark, arm, "greedy"), ids=set(asked)))
        seeds = [trajectory.seed for trajectory in true if shown_a_result(trajectory)]
        samples = [asked[trajectory.sample.id] for trajectory in true if shown_a_result(trajectory)]
        if not samples:
            return {}
        path = trajectories_path(run, benchmark, f"{arm}.{change}", "greedy")
        self._play(path, samples, lambda: self._replaying_collector(arm, change, true), mode="greedy", seeds=seeds)
        return {trajectory.sample.id: trajectory for trajectory in self._read(path, samples)}

    def _play(
        self,
        path: Path,
        samples: Sequence[VQASample],
        make_collector: Callable[[], RolloutCollector],
        *,
        mode: Mode,
        seeds: Sequence[int] | None = None,
    ) -> None:
        params = SamplingParams(max_new_tokens=self.config.max_new_tokens, temperature=_TEMPERATURE[mode])
        own = len(self.shard.own(len(samples)))
        with tqdm(total=own, desc=path.stem, unit="question", disable=not self.shard.leads) as bar:
            play_questions(
                samples,
                EpisodeLog(path, self.shard),
                make_collector,
                params,
                batch_size=self.config.evaluation.batch_size,
                seeds=seeds,
                on_finished=bar.update,
            )

    def _read(self, path: Path, samples: Sequence[VQASample]) -> list[Trajectory]:
        return list(read_trajectories(path, pixels=False, ids={sample.id for sample in samples}))

    def _asked(self, arm: str) -> list[str]:
        """The benchmarks an arm is played on: a fitted baseline needs train questions."""
        fitted = self.arms[arm].baseline is not None
        return [name for name in self.parts.test if not fitted or self.parts.train_of(name)]

    def _collector(self, arm: Arm, samples: Sequence[VQASample]) -> RolloutCollector:
        if arm.baseline is not None:
            guesses = _FITTED[arm.baseline].fit(self.parts.train_of(samples[0].benchmark)).predict(samples)
            return self.parts.answers_collector({s.id: guess for s, guess in zip(samples, guesses, strict=True)})
        assert arm.stage is not None
        policy = self._ready(arm.stage)
        engine = self.parts.oracle_engine(policy) if arm.oracle and policy else None
        return self.parts.collector(policy, arm.tools, engine)

    def _replaying_collector(self, arm: str, change: str, true: Sequence[Trajectory]) -> RolloutCollector:
        stage, use = self.arms[arm].stage, self.arms[arm].tools
        assert stage is not None
        policy = self._ready(stage)
        toolbox = self._substituting(change, self.parts.toolbox(use), true)
        engine = self.parts.engine(policy, toolbox)
        script = ScriptedPolicy(recorded_turns(true), otherwise=engine)
        return self.parts.collector(policy, use, script, toolbox=toolbox)

    def _substituting(self, change: str, toolbox: Toolbox, true: Sequence[Trajectory]) -> Toolbox:
        if change == "blank":
            return BlankResults(toolbox)
        if change == "random":
            return RandomRegions(toolbox)
        groups = {trajectory.seed: trajectory.sample.group_id for trajectory in true}
        return ShuffledResults(toolbox, donors(true), groups, seed=self.config.evaluation.counterfactual_seed)

    def _ready(self, stage: str) -> VLMPolicy | None:
        policy = self.policies.policy(stage)
        return None if policy is None else policy.eval().to(self.parts.device)


def trajectories_path(run: Path, benchmark: str, arm: str, mode: Mode) -> Path:
    """Where a run keeps the test episodes of an arm."""
    return run / "trajectories" / "test" / f"{benchmark}-{arm}-{mode}.jsonl"
