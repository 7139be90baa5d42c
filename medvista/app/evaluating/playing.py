"""Arms -> episodes on disk: every test question once, whoever shares the work and whatever interrupts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from medvista.app.arms import Arm
from medvista.app.plan import REPLAYS, TEST
from medvista.app.players import Players
from medvista.app.processes import evaluation_device
from medvista.app.progress import StageProgress
from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.evaluation.numbers.counterfactuals import donors, recorded_turns, shown_a_result
from medvista.evaluation.numbers.results import Mode
from medvista.evaluation.playing.episode_log import EpisodeLog
from medvista.evaluation.playing.episode_set import EpisodeSet
from medvista.evaluation.playing.evaluator import play_questions
from medvista.evaluation.playing.guessers import MajorityAnswer, QuestionLookup
from medvista.evaluation.playing.shard import Shard
from medvista.policies import SamplingParams, ScriptedPolicy, VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.tools import BlankResults, RandomRegions, ShuffledResults, Toolbox
from medvista.types import Trajectory, VQASample

Episodes = dict[EpisodeSet, list[Trajectory]]
Replays = dict[EpisodeSet, dict[str, Trajectory]]  # replayed episodes, by question

_TEMPERATURE: Mapping[str, float] = {"greedy": 0.0, "sampled": 1.0}
_GUESSERS: Mapping[str, type[MajorityAnswer] | type[QuestionLookup]] = {
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
        players: makes the collectors.
        policies: gives the policy of an arm's stage.
        arms: what is played, by name.
        test: the questions that are asked, by benchmark.
    """

    def __init__(
        self,
        players: Players,
        policies: Policies,
        arms: Mapping[str, Arm],
        test: Mapping[str, Sequence[VQASample]],
    ) -> None:
        self.players, self.policies, self.arms, self.test = players, policies, arms, test
        self.config = players.config
        self.shard = Shard.current()

    def play(self) -> Episodes:
        """Every arm's episodes on the same questions, without the pixels they showed."""
        modes = [cast(Mode, mode) for mode in self.config.evaluation.modes]
        jobs = [EpisodeSet(name, arm, mode) for arm in self.arms for mode in modes for name in self._asked(arm)]
        played: Episodes = {}
        with self.players.progress.stage(
            TEST, self._own(self.test[job.benchmark] for job in jobs), "question"
        ) as shown:
            for job in jobs:
                samples = self.test[job.benchmark]
                path = job.path(self.config.output_dir)
                collector = partial(self._collector, self.arms[job.arm], samples)
                self._play(path, samples, collector, mode=job.mode, shown=shown)
                played[job] = self._read(path, samples)
        return played

    def replay(self, arm: str, episodes: Episodes) -> Replays:
        """The greedy episodes of an arm in which a tool showed something, with something else shown in its place."""
        played = [true for name in self.test if (true := EpisodeSet(name, arm, "greedy")) in episodes]
        replays = [true._replace(change=change) for true in played for change in self.config.evaluation.counterfactuals]
        if not replays:
            return {}
        asked = self._own(self.test[replay.benchmark] for replay in replays)
        with self.players.progress.stage(REPLAYS, asked, "question") as shown:
            return {replay: self._replay(replay, shown) for replay in replays}

    def _replay(self, replay: EpisodeSet, shown: StageProgress) -> dict[str, Trajectory]:
        run = self.config.output_dir
        asked = {sample.id: sample for sample in self.test[replay.benchmark]}
        true = list(read_trajectories(replay._replace(change="").path(run), ids=set(asked)))
        seeds = [trajectory.seed for trajectory in true if shown_a_result(trajectory)]
        samples = [asked[trajectory.sample.id] for trajectory in true if shown_a_result(trajectory)]
        if not samples:
            return {}
        path = replay.path(run)
        collector = partial(self._replaying_collector, replay, true)
        shown.skip(self._own([list(asked)]) - self._own([samples]))
        self._play(path, samples, collector, mode="greedy", seeds=seeds, shown=shown)
        return {trajectory.sample.id: trajectory for trajectory in self._read(path, samples)}

    def _play(
        self,
        path: Path,
        samples: Sequence[VQASample],
        make_collector: Callable[[], RolloutCollector],
        *,
        mode: Mode,
        shown: StageProgress,
        seeds: Sequence[int] | None = None,
    ) -> None:
        params = SamplingParams(max_new_tokens=self.config.max_new_tokens, temperature=_TEMPERATURE[mode])

        def finished(more: int) -> None:
            shown.reach(shown.done + more, path.stem)

        play_questions(
            samples,
            EpisodeLog(path, self.shard),
            make_collector,
            params,
            batch_size=self.config.evaluation.batch_size,
            seeds=seeds,
            on_finished=finished,
        )

    def _own(self, asked: Iterable[Sequence[object]]) -> int:
        """How many of the questions asked are this process's to play."""
        return sum(len(self.shard.own(len(samples))) for samples in asked)

    def _read(self, path: Path, samples: Sequence[VQASample]) -> list[Trajectory]:
        asked = {sample.id: sample for sample in samples}
        played = list(read_trajectories(path, pixels=False, ids=set(asked)))
        for trajectory in played:
            if _text(trajectory.sample) != _text(asked[trajectory.sample.id]):
                raise UserError(
                    f"{path} holds an episode of question {trajectory.sample.id}, whose words have changed since: "
                    "give another output_dir."
                )
        return played

    def _asked(self, arm: str) -> list[str]:
        """The benchmarks an arm is played on: a guesser needs train questions to be fitted on."""
        fitted = self.arms[arm].guesser is not None
        return [name for name in self.test if not fitted or self.players.questions.train_of(name)]

    def _collector(self, arm: Arm, samples: Sequence[VQASample]) -> RolloutCollector:
        if arm.guesser is not None:
            train = self.players.questions.train_of(samples[0].benchmark)
            guesses = _GUESSERS[arm.guesser].fit(train).predict(samples)
            return self.players.answers_collector({s.id: guess for s, guess in zip(samples, guesses, strict=True)})
        assert arm.stage is not None
        policy = self._ready(arm.stage)
        engine = self.players.oracle_engine(policy) if arm.oracle and policy else None
        return self.players.collector(policy, arm.conditions, engine)

    def _replaying_collector(self, replay: EpisodeSet, true: Sequence[Trajectory]) -> RolloutCollector:
        arm = self.arms[replay.arm]
        assert arm.stage is not None
        policy = self._ready(arm.stage)
        toolbox = self._substituting(replay.change, self.players.toolbox(arm.conditions.tools), true)
        engine = self.players.engine(policy, toolbox)
        script = ScriptedPolicy(recorded_turns(true), otherwise=engine)
        return self.players.collector(policy, arm.conditions, script, toolbox=toolbox)

    def _substituting(self, change: str, toolbox: Toolbox, true: Sequence[Trajectory]) -> Toolbox:
        if change == "blank":
            return BlankResults(toolbox)
        if change == "random":
            return RandomRegions(toolbox)
        groups = {trajectory.seed: trajectory.sample.group_id for trajectory in true}
        return ShuffledResults(toolbox, donors(true), groups, seed=self.config.evaluation.counterfactual_seed)

    def _ready(self, stage: str) -> VLMPolicy | None:
        policy = self.policies.policy(stage)
        return None if policy is None else policy.eval().to(evaluation_device(self.config.trainer))


def _text(sample: VQASample) -> tuple[object, ...]:
    return sample.question, sample.answers, sample.choices
